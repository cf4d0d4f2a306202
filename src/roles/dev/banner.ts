import type { Finding } from "./example.ts"

/** A target of the banner: whether alice can use it, and its isolation boundary or subject-key strategy. */
type BannerTarget = Finding & { readonly boundary: string }

/** Content of the banner. */
type Banner = {
  readonly version: string
  readonly url: string
  /** How to call this program here, e.g. `reflow` or `npm run --silent reflow --`. */
  readonly program: string
  /** Sorted by name. */
  readonly targets: readonly BannerTarget[]
  /** Tokens by user; the examples use alice's, and the admin's to register a target. */
  readonly tokens: Readonly<{ alice: string; bob: string; admin: string }>
  /** The state folder, and the number of targets and sets of credential values that were restored from it. */
  readonly state: { readonly folder: string; readonly targets: number; readonly values: number }
}

const initialize = JSON.stringify({
  jsonrpc: "2.0",
  id: 1,
  method: "initialize",
  params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "curl", version: "1" } },
})

const json = "-H 'Content-Type: application/json'"
const bearer = (token: string): string => `-H 'Authorization: Bearer ${token}'`

const callLine = ({ url, tokens }: Banner, target: string): string =>
  `curl -sS ${url}/mcp/${target} ${bearer(tokens.alice)} ${json} -H 'Accept: application/json, text/event-stream' -d '${initialize}'`

const callLines = (banner: Banner, target: string): string => `
Try it (alice):

${callLine(banner, target)}

Client configuration (alice), for ${target}; docs/clients.md has it for each client:

${JSON.stringify(
  {
    mcpServers: {
      [target]: {
        type: "http",
        url: `${banner.url}/mcp/${target}`,
        headers: { Authorization: `Bearer ${banner.tokens.alice}` },
      },
    },
  },
  null,
  2,
)}
`

/** The body that registers an example target: MCP's own example server, which npx downloads. */
const everything = JSON.stringify({
  name: "everything",
  transport_type: "kubernetes",
  image: "mcp-everything:latest",
  command: ["npx", "-y", "@modelcontextprotocol/server-everything", "streamableHttp"],
  port: 8080,
  isolation_boundary: "per_user",
})

const registerLines = (banner: Banner): string => `
No targets yet. Start with --targets FILE, or register one, here the protocol's example server from npm:

curl -sS ${banner.url}/api/targets ${bearer(banner.tokens.admin)} ${json} -d '${everything}'

Then try it (alice):

${callLine(banner, "everything")}
`

/** Maximum number of targets of which the banner explains why alice cannot use them. */
const maxExplained = 5

const valueLines = ({ url, tokens }: Banner, { name, missing = [] }: BannerTarget): string => {
  const values = JSON.stringify(Object.fromEntries(missing.map((each) => [each, "..."])))
  return `
Set the values that alice's server of ${name} needs:

curl -sS -X PUT ${url}/api/targets/${name}/env/me ${bearer(tokens.alice)} ${json} -d '${values}'
`
}

const nobodysLines = (banner: Banner): string => {
  const { targets, program } = banner
  const reasons = targets.slice(0, maxExplained).map(({ name, whyNot }) => `  ${name}: ${whyNot}`)
  const needy = targets.find(({ missing, boundary }) => missing !== undefined && boundary === "per_user")
  return `
alice cannot use any of these targets yet:

${reasons.join("\n")}${targets.length > maxExplained ? "\n  ..." : ""}
${needy === undefined ? "" : valueLines(banner, needy)}
Tokens with groups and roles: ${program} token --subject alice --group NAME --grant-role NAME
`
}

const exampleLines = (banner: Banner): string => {
  const usable = banner.targets.find(({ whyNot }) => whyNot === undefined)
  if (usable !== undefined) return callLines(banner, usable.name)
  return banner.targets.length === 0 ? registerLines(banner) : nobodysLines(banner)
}

const count = (number: number, one: string, many: string): string => `${number} ${number === 1 ? one : many}`

const stateText = ({ folder, targets, values }: Banner["state"]): string => {
  const back = `${count(targets, "target", "targets")} and ${count(values, "set of values", "sets of values")}`
  return targets + values === 0 ? folder : `${folder}: ${back} restored from it; --fresh starts without them`
}

/**
 * The text on stdout when the role dev is ready: address, targets, tokens, a call and a client configuration to copy.
 */
export const bannerText = (banner: Banner): string => {
  const { version, url, program, targets, tokens, state } = banner
  const listed = targets.map(({ name, boundary }) => `${name} (${boundary})`).join(", ")
  return `
Reflow Gateway ${version}, embedded cluster: for trying out, on this machine only

  URL      ${url}/mcp/{target}
  Targets  ${listed === "" ? "none" : listed}
  State    ${stateText(state)}

Tokens, valid for 30 days; '${program} token --subject NAME' creates more:

  alice  ${tokens.alice}
  bob    ${tokens.bob}
  admin  ${tokens.admin}
${exampleLines(banner)}
`
}
