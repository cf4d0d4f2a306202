/** Fetches documents of issuers: freely from hosts that the configuration names, guarded from those that metadata names. */
import { Readable } from "node:stream"
import { Client } from "undici"
import { AppError, hasCode } from "../errors.ts"
import { guardedConnector } from "./connect.ts"
import type { OutgoingGuard } from "./guard.ts"

/** The same as that of an issuer's documents, so that neither room imports the other. */
export type GuardedFetch = (
  url: string,
  init: { readonly signal: AbortSignal; readonly redirect: "error" },
) => Promise<Response>

/** Statuses whose answer has no body (Fetch standard, null body status). */
const bodiless: ReadonlySet<number> = new Set([204, 205, 304])

const hint = "The issuer's metadata names this host: set jwks_url of the issuer explicitly to allow it."

/** An administrator finds the cause of a refusal in the configuration of the issuer, not in that of a target. */
const explained = (error: unknown): unknown => {
  if (hasCode(error, "AddressNotAllowed", "UpstreamUnreachable"))
    return new AppError(error.code, { detail: `${error.message} ${hint}`, data: error.data ?? {}, cause: error })
  return error
}

const fetchGuarded = async (guard: OutgoingGuard, url: URL, signal: AbortSignal): Promise<Response> => {
  guard.checkUrl(url)
  // keys are fetched every ten minutes: a connection would only wait
  const client = new Client(url.origin, { connect: guardedConnector(guard, {}), pipelining: 0 })
  try {
    const path = `${url.pathname}${url.search}`
    const headers = { accept: "application/json" }
    const { statusCode: status, body } = await client.request({ path, method: "GET", headers, signal, reset: true })
    if (!bodiless.has(status)) return new Response(Readable.toWeb(body) as ReadableStream<Uint8Array>, { status })
    await body.dump()
    return new Response(null, { status })
  } finally {
    // ends with the answer's body
    client.close().catch(() => {})
  }
}

/** The hosts that the configuration names, each with its port: those of issuers and of explicit key sets. */
export const trustsIssuers = (
  issuers: readonly { readonly issuer: string; readonly jwks_url: string }[],
): ((url: URL) => boolean) => {
  const urls = issuers.flatMap(({ issuer, jwks_url: keys }) => [URL.parse(issuer), URL.parse(keys)])
  const hosts = new Set(urls.flatMap((url) => (url === null || url.host === "" ? [] : [url.host])))
  return ({ host }) => hosts.has(host)
}

/**
 * Creates the fetch of issuers' documents. The guard does not apply to URLs that `trusts` accepts: an administrator wrote
 * them, and an issuer inside of the cluster is usual. No redirect is followed.
 */
export const createGuardedFetch =
  (guard: OutgoingGuard, trusts: (url: URL) => boolean): GuardedFetch =>
  async (text, init) => {
    const url = new URL(text)
    if (trusts(url)) return fetch(text, init)
    try {
      return await fetchGuarded(guard, url, init.signal)
    } catch (error) {
      throw explained(error)
    }
  }
