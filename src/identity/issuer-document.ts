import { readable } from "../api/foreign-text.ts"
import { isFields } from "../api/patch.ts"
import { createGrowingBuffer } from "../intake/bodies.ts"
import { findJsonFault } from "../intake/json-text.ts"

/** Sends a request to an issuer: the built-in `fetch`, or a test's. */
export type Fetch = (
  url: string,
  init: { readonly signal: AbortSignal; readonly redirect: "error" },
) => Promise<Response>

/** Longest wait for one document, milliseconds, and its largest size, bytes. */
const timeoutMs = 5_000
const maxBytes = 2 ** 20
/** Most levels of nesting. */
const maxDepth = 32

const readBounded = async (response: Response): Promise<string> => {
  const bytes = createGrowingBuffer()
  for await (const chunk of response.body ?? []) {
    if (bytes.length + chunk.byteLength > maxBytes) throw new Error(`it is larger than ${maxBytes} bytes`)
    bytes.add(chunk)
  }
  return bytes.take().toString("utf8")
}

const parse = (text: string): unknown => {
  const fault = findJsonFault(text, { maxDepth })
  if (fault !== undefined) throw new Error(`it ${fault.message}`)
  return JSON.parse(text)
}

/**
 * A JSON object from an issuer. Throws with a reason that names the URL: unreachable, not 200, too large, no object of at
 * most 50,000 members.
 */
export const fetchDocument = async (
  fetch: Fetch,
  url: string,
  signal: AbortSignal,
): Promise<Readonly<Record<string, unknown>>> => {
  try {
    // no redirects: they could lead to any host, and an issuer's documents have fixed addresses
    const response = await fetch(url, {
      redirect: "error",
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    })
    if (response.status !== 200) {
      await response.body?.cancel()
      throw new Error(`it was answered with ${response.status}`)
    }
    const document: unknown = parse(await readBounded(response))
    if (isFields(document)) return document
    throw new Error("it is not a JSON object")
  } catch (cause) {
    throw new Error(`${url} could not be read`, { cause })
  }
}

/**
 * Where an issuer's metadata may be: OpenID Connect Discovery 1.0 §4, then RFC 8414 §3.1, which puts the well-known part
 * before the issuer's path.
 */
const metadataUrls = (issuer: string): readonly string[] => {
  const { origin, pathname } = new URL(issuer)
  const path = pathname.replace(/\/$/, "")
  return [
    `${origin}${path}/.well-known/openid-configuration`,
    `${origin}/.well-known/oauth-authorization-server${path}`,
  ]
}

/** False if the keys of an https issuer would be fetched over plain http. */
const isAsSafe = (url: string, issuer: string): boolean =>
  URL.canParse(url) && (url.startsWith("https://") || (url.startsWith("http://") && issuer.startsWith("http://")))

type Metadata = { readonly url: string; readonly document: Readonly<Record<string, unknown>> }

/**
 * Reads the issuer's metadata, which must name this issuer, from the first address that has it. Throws the first reason
 * why it cannot be used.
 */
const searchMetadata = async <T>(
  { fetch, issuer, signal }: { readonly fetch: Fetch; readonly issuer: string; readonly signal: AbortSignal },
  read: (metadata: Metadata) => T,
): Promise<T> => {
  if (!URL.canParse(issuer)) throw new Error(`the issuer ${issuer} is no URL: set jwks_url`)
  let failure: unknown
  for (const url of metadataUrls(issuer)) {
    try {
      const document = await fetchDocument(fetch, url, signal)
      const { issuer: named } = document
      if (named === issuer) return read({ url, document })
      const other = typeof named === "string" ? `another issuer, '${readable(named)}'` : "no issuer"
      throw new Error(`${url} is the metadata of ${other}`)
    } catch (error) {
      failure ??= error
    }
  }
  throw failure
}

/** The address of an issuer's key set, from metadata that names this issuer. Throws with a reason. */
export const discoverKeySet = (fetch: Fetch, issuer: string, signal: AbortSignal): Promise<string> =>
  searchMetadata({ fetch, issuer, signal }, ({ url, document: { jwks_uri: keys } }) => {
    if (typeof keys === "string" && isAsSafe(keys, issuer)) return keys
    throw new Error(`${url} names no usable jwks_uri`)
  })

/** The address of an issuer's metadata. Throws with a reason if there is none that names this issuer. */
export const findMetadata = (fetch: Fetch, issuer: string, signal: AbortSignal): Promise<string> =>
  searchMetadata({ fetch, issuer, signal }, ({ url }) => url)
