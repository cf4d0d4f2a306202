import type { Path } from "./keys.ts"
import type { Role } from "./rules.ts"
import type { Config } from "./schema.ts"

/** What is wrong with several keys together, and where. */
export type Finding = { readonly path: Path; readonly message: string }

type Issuer = Config["auth"]["issuers"][number]

/** Finds at most one thing that is wrong. */
export type Rule = (config: Config, role: Role | undefined) => Finding | undefined

const isUrl = (text: string): boolean => /^https?:\/\//.test(text) && URL.canParse(text)

/** The first issuer with something wrong, as a rule. */
const each =
  (key: keyof Issuer, message: string, isWrong: (issuer: Issuer, gateway: Config["gateway"]) => boolean): Rule =>
  ({ auth, gateway }) => {
    const index = auth.issuers.findIndex((issuer) => isWrong(issuer, gateway))
    return index < 0 ? undefined : { path: ["auth", "issuers", index, key], message }
  }

/** An issuer that is a mere name has no place where its keys could be found. */
const keysCanBeFound = each(
  "jwks_url",
  "is missing; it must be given where the issuer is no http(s) URL",
  ({ issuer, jwks_url: keys }) => keys === "" && !isUrl(issuer),
)

const opensTargets = (audience: string, { public_url: url }: Config["gateway"]): boolean =>
  url !== "" && (audience === url || audience === `${url}/` || audience.startsWith(`${url}/mcp/`))

/** A token that a client got to use tools must not administer. */
const apartForApi = each(
  "api_audiences",
  "must differ from what opens MCP endpoints: tokens for tools must not open the REST API",
  ({ audiences, api_audiences: api }, gateway) =>
    api.some((audience) => audiences.includes(audience) || opensTargets(audience, gateway)),
)

const apartForTargets = each(
  "audiences",
  "must not hold the public URL's /api, which opens the REST API",
  ({ audiences }, { public_url: url }) => url !== "" && audiences.includes(`${url}/api`),
)

const loopback = /^http:\/\/(localhost|127\.0\.0\.1|\[::1\])[:/]/

const isOpen = (url: string): boolean => url.startsWith("http:") && !loopback.test(`${url}/`)

const safeKeys = each(
  "issuer",
  "is reached over plain http: whoever is on the way can exchange its keys and then be anybody",
  ({ issuer, jwks_url: keys }) => isOpen(keys === "" ? issuer : keys),
)

const knownUrl: Rule = ({ auth, gateway }, role) => {
  if (auth.issuers.length === 0 || gateway.public_url !== "" || role === "operator" || role === "dev") return undefined
  return {
    path: ["gateway", "public_url"],
    message: "is empty: issuers' tokens must then be for http://localhost:PORT, and clients cannot find the issuer",
  }
}

/** What no key of an issuer can say alone. */
export const issuerErrors: readonly Rule[] = [keysCanBeFound, apartForApi, apartForTargets]

/** What of an issuer is doubtful. */
export const issuerDoubts: readonly Rule[] = [safeKeys, knownUrl]
