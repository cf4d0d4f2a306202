import type { Config } from "../../config/schema.ts"
import { discoverKeySet, type Fetch, fetchDocument, findMetadata } from "../../identity/issuer-document.ts"
import { usableKeys } from "../../identity/jwt-issuers.ts"
import { readable } from "../../identity/subject-key.ts"
import type { Finding } from "./finding.ts"

type Issuer = Config["auth"]["issuers"][number]

/** What the look at the issuers needs. */
type IssuersCheck = {
  readonly issuers: readonly Issuer[]
  /** gateway.public_url; empty if there is none. */
  readonly publicUrl: string
  /** As the gateway has it: with its certificates and its proxy. */
  readonly fetch: Fetch
  readonly signal: AbortSignal
}

/** Longest reason of a line, in characters, and most causes in it. */
const longestReason = 500
const mostCauses = 4

const wayThere = "the way there: DNS, NetworkPolicies, NODE_EXTRA_CA_CERTS, HTTPS_PROXY with NODE_USE_ENV_PROXY=1"

const textOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error)
  const code = "code" in error && typeof error.code === "string" ? error.code : error.name
  return error.message === "" ? code : error.message
}

/** What went wrong and why, the causes behind it; what a server said may be in it. */
const reasonOf = (error: unknown): string => {
  const texts: string[] = []
  for (let at = error; at !== undefined && texts.length < mostCauses; at = at instanceof Error ? at.cause : undefined)
    texts.push(textOf(at))
  const text = texts.join(": ").slice(0, longestReason)
  return text.toWellFormed().replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, " ")
}

const isUrl = (text: string): boolean => /^https?:\/\//.test(text) && URL.canParse(text)

/**
 * Whether the issuer's metadata is there and its own. Without `jwks_url` the keys are found by it; clients find by it where to
 * log in.
 */
const checkMetadata = async ({ name, issuer, jwks_url: keys }: Issuer, check: IssuersCheck): Promise<Finding> => {
  const what = `issuer ${name}, metadata`
  try {
    const url = await findMetadata(check.fetch, issuer, check.signal)
    return { what, ok: true, detail: `${url} is that of ${issuer}` }
  } catch (error) {
    const detail = reasonOf(error)
    const exact = "auth.issuers[].issuer must be exactly what its metadata and its tokens say"
    if (keys === "") return { what, ok: false, detail, help: `${exact}; or check ${wayThere}` }
    return { what, ok: true, doubtful: true, detail: `${detail}; so clients cannot find where to log in`, help: exact }
  }
}

/** Whether the issuer publishes keys that the gateway takes. */
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
    return { what, ok: false, detail: reasonOf(error), help: `correct ${place}; or check ${wayThere}` }
  }
}

/** An audience that the issuer puts into tokens for itself: Keycloak's account, Auth0's userinfo. */
const isIssuersOwn = (audience: string, issuer: string): boolean =>
  audience === "account" || audience === issuer || audience.startsWith(issuer.endsWith("/") ? issuer : `${issuer}/`)

/** What is doubtful about the audiences, and what to do. */
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
    return { doubt: `'${readable(blank)}' begins or ends with a blank`, help: "take the blank away" }
  if (publicUrl === "" && audiences.length === 0)
    return {
      doubt: "there is none but http://localhost:PORT, where no client of another machine asks for a token",
      help: "set gateway.public_url, or auth.issuers[].audiences if the issuer has audiences of its own",
    }
  return undefined
}

/** Which audiences open what; doubtful ones. */
const checkAudiences = (issuer: Issuer, { publicUrl }: IssuersCheck): Finding => {
  const what = `issuer ${issuer.name}, audiences`
  const origin = publicUrl === "" ? "http://localhost:PORT" : publicUrl
  const found = doubtOf(issuer, publicUrl)
  if (found !== undefined) return { what, ok: true, doubtful: true, detail: found.doubt, help: found.help }
  const list = (first: readonly string[], more: readonly string[]): string =>
    [...first, ...more.map(readable)].join(", ")
  const mcp = list([`${origin}/mcp/TARGET`, origin], issuer.audiences)
  const api = list([`${origin}/api`], issuer.api_audiences)
  const both = issuer.mcp_tokens_open_api ? "; tokens for all tools open it too, for what is the caller's own" : ""
  const detail = `tokens for tools must have one of ${mcp}; those for the REST API one of ${api}${both}`
  return { what, ok: true, detail }
}

const checkIssuer = async (issuer: Issuer, check: IssuersCheck): Promise<readonly Finding[]> => {
  const metadata = isUrl(issuer.issuer) ? await checkMetadata(issuer, check) : undefined
  // without its metadata nobody knows where the keys are
  const keys = metadata?.ok === false ? undefined : await checkKeys(issuer, check)
  return [metadata, keys, checkAudiences(issuer, check)].filter((each) => each !== undefined)
}

/**
 * Whether the tokens of the configured issuers could be checked, as the gateway does it when the first ones come: metadata,
 * keys and audiences of each. All issuers are asked at once; each document is waited for 5 s.
 */
export const checkIssuers = async (check: IssuersCheck): Promise<readonly Finding[]> =>
  (await Promise.all(check.issuers.map((issuer) => checkIssuer(issuer, check)))).flat()
