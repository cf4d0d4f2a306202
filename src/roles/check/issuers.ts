import { misleading, readable } from "../../api/foreign-text.ts"
import type { Config } from "../../config/schema.ts"
import { discoverKeySet, type Fetch, fetchDocument, findMetadata } from "../../identity/issuer-document.ts"
import { usableKeys } from "../../identity/jwt-issuers.ts"
import type { Finding } from "./finding.ts"

type Issuer = Config["auth"]["issuers"][number]

/** Dependencies of {@link checkIssuers}. */
type IssuersCheck = {
  readonly issuers: readonly Issuer[]
  /** gateway.public_url; empty if it is not set. */
  readonly publicUrl: string
  /** The same fetch as the gateway's, so that it uses the same certificates and proxy. */
  readonly fetch: Fetch
  readonly signal: AbortSignal
}

/** Maximum length of a reason, in characters, and maximum number of error causes in it. */
const longestReason = 500
const mostCauses = 4

const access = "the network: DNS, NetworkPolicies, NODE_EXTRA_CA_CERTS, HTTPS_PROXY with NODE_USE_ENV_PROXY=1"

const textOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error)
  const code = "code" in error && typeof error.code === "string" ? error.code : error.name
  return error.message === "" ? code : error.message
}

/**
 * The messages of an error and its causes, as one line. Control characters are removed: a server's text may be in it.
 */
const reasonOf = (error: unknown): string => {
  const texts: string[] = []
  for (let at = error; at !== undefined && texts.length < mostCauses; at = at instanceof Error ? at.cause : undefined)
    texts.push(textOf(at))
  const text = texts.join(": ").slice(0, longestReason)
  return text.toWellFormed().replaceAll(misleading, " ")
}

const isUrl = (text: string): boolean => /^https?:\/\//.test(text) && URL.canParse(text)

/**
 * Checks that the issuer serves its metadata, and that the metadata names this issuer. Without `jwks_url` the metadata
 * is needed to find the keys, so that its absence is a failure. Clients need it to find where to log in: else a
 * warning.
 */
const checkMetadata = async ({ name, issuer, jwks_url: keys }: Issuer, check: IssuersCheck): Promise<Finding> => {
  const what = `issuer ${name}, metadata`
  try {
    const url = await findMetadata(check.fetch, issuer, check.signal)
    return { what, ok: true, detail: `${url} is that of ${issuer}` }
  } catch (error) {
    const detail = reasonOf(error)
    const exact = "auth.issuers[].issuer must be exactly what its metadata and its tokens say"
    if (keys === "") return { what, ok: false, detail, help: `${exact}; or check ${access}` }
    return { what, ok: true, doubtful: true, detail: `${detail}; so clients cannot find where to log in`, help: exact }
  }
}

/** Checks that the issuer publishes at least one key that the gateway can verify signatures with. */
const checkKeys = async ({ name, issuer, jwks_url }: Issuer, { fetch, signal }: IssuersCheck): Promise<Finding> => {
  const what = `issuer ${name}, keys`
  try {
    const url = jwks_url === "" ? await discoverKeySet(fetch, issuer, signal) : jwks_url
    const { total, usable, algorithms } = await usableKeys(await fetchDocument(fetch, url, signal))
    const detail = `${readable(url)} has ${total} ${total === 1 ? "key" : "keys"}, ${usable} of them usable`
    if (usable > 0) return { what, ok: true, detail: `${detail}, for ${algorithms.join(", ")}` }
    const help = "the issuer must sign with an RSA key of at least 2048 bits, an EC or an Ed25519 key, and publish it"
    return { what, ok: false, detail, help }
  } catch (error) {
    const place = jwks_url === "" ? "auth.issuers[].issuer, or set jwks_url" : "auth.issuers[].jwks_url"
    return { what, ok: false, detail: reasonOf(error), help: `correct ${place}; or check ${access}` }
  }
}

/** True for an audience that the issuer puts into tokens for itself: Keycloak's `account`, Auth0's userinfo URL. */
const isIssuersOwn = (audience: string, issuer: string): boolean =>
  audience === "account" || audience === issuer || audience.startsWith(issuer.endsWith("/") ? issuer : `${issuer}/`)

/** A probable mistake in the configured audiences, and what to do; undefined if there is none. */
const doubtOf = (
  { issuer, audiences, api_audiences: api }: Issuer,
  publicUrl: string,
): { readonly doubt: string; readonly help: string } | undefined => {
  const all = [...audiences, ...api]
  const own = all.find((each) => isIssuersOwn(each, issuer))
  if (own !== undefined)
    return {
      doubt: `'${readable(own)}' is an audience of the issuer itself, which its tokens for other programs have too`,
      help: "let the issuer give the gateway's clients an audience of their own",
    }
  const blank = all.find((each) => each.trim() !== each)
  if (blank !== undefined)
    return { doubt: `'${readable(blank)}' begins or ends with a blank`, help: "take out the blank" }
  if (publicUrl === "" && audiences.length === 0)
    return {
      doubt: "there is none but http://localhost:PORT, for which a client on another machine gets no token",
      help: "set gateway.public_url, or auth.issuers[].audiences if the issuer has audiences of its own",
    }
  return undefined
}

/** Shows which audiences a token needs for tools and for the REST API; a warning if {@link doubtOf} finds a mistake. */
const checkAudiences = (issuer: Issuer, { publicUrl }: IssuersCheck): Finding => {
  const what = `issuer ${issuer.name}, audiences`
  const origin = publicUrl === "" ? "http://localhost:PORT" : publicUrl
  const found = doubtOf(issuer, publicUrl)
  if (found !== undefined) return { what, ok: true, doubtful: true, detail: found.doubt, help: found.help }
  const list = (first: readonly string[], more: readonly string[]): string =>
    [...first, ...more.map((each) => readable(each))].join(", ")
  const mcp = list([`${origin}/mcp/TARGET`, origin], issuer.audiences)
  const api = list([`${origin}/api`], issuer.api_audiences)
  const both = issuer.mcp_tokens_open_api ? "; it accepts tokens for all tools too, for the caller's own objects" : ""
  const detail = `tokens for tools must have one of ${mcp}; those for the REST API one of ${api}${both}`
  return { what, ok: true, detail }
}

const checkIssuer = async (issuer: Issuer, check: IssuersCheck): Promise<readonly Finding[]> => {
  const metadata = isUrl(issuer.issuer) ? await checkMetadata(issuer, check) : undefined
  // the metadata names the URL of the keys
  const keys = metadata?.ok === false ? undefined : await checkKeys(issuer, check)
  return [metadata, keys, checkAudiences(issuer, check)].filter((each) => each !== undefined)
}

/**
 * Checks metadata, keys and audiences of each configured issuer, with the same requests that the gateway makes when it
 * verifies the first token. All issuers are asked at once, with a timeout of 5 s for each document.
 */
export const checkIssuers = async (check: IssuersCheck): Promise<readonly Finding[]> =>
  (await Promise.all(check.issuers.map((issuer) => checkIssuer(issuer, check)))).flat()
