/** A target as the banner names it. */
export type BannerTarget = { readonly name: string; readonly boundary: string }

/** What the banner tells. */
export type Banner = {
  readonly version: string
  readonly url: string
  /** What begins a command line of this program here, e.g. `reflow`. */
  readonly program: string
  /** Sorted by name. */
  readonly targets: readonly BannerTarget[]
  /** Tokens by user, the first one's goes into the examples. */
  readonly tokens: Readonly<{ alice: string; bob: string; admin: string }>
}

const initialize = JSON.stringify({
  jsonrpc: "2.0",
  id: 1,
  method: "initialize",
  params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "curl", version: "1" } },
})

const callLines = ({ url, tokens }: Banner, target: string): string => `
Try it (alice):

curl -sS ${url}/mcp/${target} -H 'Authorization: Bearer ${tokens.alice}' -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' -d '${initialize}'

Client configuration (alice):

${JSON.stringify(
  {
    mcpServers: {
      [target]: { type: "http", url: `${url}/mcp/${target}`, headers: { Authorization: `Bearer ${tokens.alice}` } },
    },
  },
  null,
  2,
)}
`

const registerLines = ({ url, tokens }: Banner): string => `
No targets yet. Register one, or start with --targets FILE:

curl -sS ${url}/api/targets -H 'Authorization: Bearer ${tokens.admin}' -H 'Content-Type: application/json' -d '{"name":"mine","transport_type":"kubernetes","image":"mine:latest","command":["node","my-server.mjs"],"port":8080,"isolation_boundary":"per_user"}'
`

/** What a person needs to begin: address, targets, tokens, one call and one client configuration to copy. */
export const bannerText = (banner: Banner): string => {
  const { version, url, program, targets, tokens } = banner
  const [first] = targets
  const listed = targets.map(({ name, boundary }) => `${name} (${boundary})`).join(", ")
  return `
Reflow Gateway ${version}, embedded cluster: for trying out, on this machine only

  URL      ${url}/mcp/{target}
  Targets  ${listed === "" ? "none" : listed}

Tokens, good for 30 days; '${program} token --subject NAME' makes more:

  alice  ${tokens.alice}
  bob    ${tokens.bob}
  admin  ${tokens.admin}
${first === undefined ? registerLines(banner) : callLines(banner, first.name)}
`
}
