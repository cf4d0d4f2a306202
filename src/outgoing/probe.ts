/** The probe of somebody else's server: one request without credentials, of which only the head of the answer counts. */
import { request as plainRequest } from "node:http"
import { request as tlsRequest } from "node:https"
import type { LookupFunction } from "node:net"
import { checkServerIdentity, TLSSocket } from "node:tls"
import { hasCode, systemCode } from "../errors.ts"
import type {
  CertificateFault,
  ProbedServer,
  ProbeRemote,
  ProbeResult,
  UnreachableCause,
} from "../ports/remote-probe.ts"
import { unlessAborted } from "../waiting/until-aborted.ts"
import { plainHost } from "./allowance.ts"
import { type OutgoingGuard, portOf } from "./guard.ts"

type Addresses = Awaited<ReturnType<OutgoingGuard["lookup"]>>

/** How long each part of a probe may take, milliseconds. */
type ProbeLimits = {
  /** Connection and TLS; default 5 s. DNS has the guard's own limit. */
  readonly connectMs?: number
  /** From there to the end of the answer's head; default 10 s. */
  readonly headMs?: number
}

/** OpenSSL's names of faults, as Node gives them. */
const certificateFaults: Readonly<Record<string, CertificateFault>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: "UnknownAuthority",
  SELF_SIGNED_CERT_IN_CHAIN: "UnknownAuthority",
  UNABLE_TO_GET_ISSUER_CERT: "UnknownAuthority",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "UnknownAuthority",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "UnknownAuthority",
  CERT_UNTRUSTED: "UnknownAuthority",
  ERR_TLS_CERT_ALTNAME_INVALID: "OtherName",
  HOSTNAME_MISMATCH: "OtherName",
  CERT_HAS_EXPIRED: "Expired",
  CERT_NOT_YET_VALID: "NotYetValid",
  CERT_REVOKED: "Revoked",
  CERT_CHAIN_TOO_LONG: "Unusable",
  CERT_REJECTED: "Unusable",
  CERT_SIGNATURE_FAILURE: "Unusable",
  INVALID_CA: "Unusable",
  INVALID_PURPOSE: "Unusable",
  PATH_LENGTH_EXCEEDED: "Unusable",
}

const causes: Readonly<Record<string, UnreachableCause>> = {
  ECONNREFUSED: "ConnectionRefused",
  EHOSTUNREACH: "NoRoute",
  ENETUNREACH: "NoRoute",
  EADDRNOTAVAIL: "NoRoute",
  EACCES: "NoRoute",
  EPERM: "NoRoute",
  ETIMEDOUT: "ConnectTimeout",
  EPROTO: "NoTLS",
}

const redirects: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])

const unreachable = (cause: UnreachableCause): ProbeResult => ({ kind: "unreachable", cause })

const ofError = (error: unknown): ProbeResult => {
  const code = systemCode(error)
  const fault = certificateFaults[code]
  if (fault !== undefined) return { kind: "certificate", fault }
  if (code.startsWith("ERR_SSL_")) return unreachable("NoTLS")
  // of Node's parser of HTTP
  if (code.startsWith("HPE_")) return unreachable("NoHTTP")
  return unreachable(causes[code] ?? "ConnectionLost")
}

/** What is wrong with a certificate whose chain nobody verifies; undefined = neither its name nor its dates. */
const faultOf = (socket: TLSSocket, host: string): CertificateFault | undefined => {
  const certificate = socket.getPeerCertificate()
  if (checkServerIdentity(host, certificate) !== undefined) return "OtherName"
  const now = Date.now()
  if (now > Date.parse(certificate.valid_to)) return "Expired"
  return now < Date.parse(certificate.valid_from) ? "NotYetValid" : undefined
}

const ofAnswer = (url: URL, status: number, location: string | undefined): ProbeResult => {
  if (!redirects.has(status) || location === undefined) return { kind: "answered", status }
  const to = URL.parse(location, url)
  const isWeb = to?.protocol === "https:" || to?.protocol === "http:"
  return { kind: "redirected", status, origin: isWeb ? to.origin : undefined }
}

/** Hands on only what the guard has checked. */
const lookupIn =
  (addresses: Addresses): LookupFunction =>
  (_host, { all }, done) => {
    const [first] = addresses
    if (all === true || first === undefined) done(null, [...addresses])
    else done(null, first.address, first.family)
  }

type Asked = { readonly url: URL; readonly hasOwnCA: boolean; readonly addresses: Addresses }

/** Opens a connection of its own, and ends it with the head of the answer. Rejects only when the signal aborts. */
const ask = (
  { url, hasOwnCA, addresses }: Asked,
  { connectMs = 5_000, headMs = 10_000 }: ProbeLimits,
  signal: AbortSignal,
): Promise<ProbeResult> => {
  const { promise, resolve, reject } = Promise.withResolvers<ProbeResult>()
  const options = {
    agent: false,
    // MCP servers answer a GET of a stream without a session, and begin nothing for it
    headers: { accept: "text/event-stream", connection: "close", "user-agent": "reflow-gateway" },
    lookup: lookupIn(addresses),
    rejectUnauthorized: !hasOwnCA,
    signal,
  }
  const request = (url.protocol === "https:" ? tlsRequest : plainRequest)(url, options)
  const end = (result: ProbeResult): void => {
    clearTimeout(timer)
    resolve(result)
    request.destroy()
  }
  let timer = setTimeout(() => end(unreachable("ConnectTimeout")), connectMs)
  const connected = (): void => {
    clearTimeout(timer)
    timer = setTimeout(() => end(unreachable("AnswerTimeout")), headMs)
  }
  request.on("socket", (socket) => {
    if (!(socket instanceof TLSSocket)) return socket.once("connect", connected)
    return socket.once("secureConnect", () => {
      const fault = hasOwnCA ? faultOf(socket, plainHost(url.hostname)) : undefined
      if (fault === undefined) connected()
      else end({ kind: "certificate", fault })
    })
  })
  request.once("response", ({ statusCode = 0, headers }) => end(ofAnswer(url, statusCode, headers.location)))
  // stays: an error may follow the end
  request.on("error", (error) => {
    if (signal.aborted) reject(signal.reason)
    end(ofError(error))
  })
  request.end()
  return promise
}

/** The addresses of a server, or why there is none to dial. The text has no address from DNS: it differs each time. */
const find = async (guard: OutgoingGuard, url: URL, signal: AbortSignal): Promise<Addresses | ProbeResult> => {
  const closed = (error: unknown, detail: (message: string) => string): ProbeResult => {
    if (hasCode(error, "UpstreamUnreachable")) return unreachable("NameUnknown")
    if (!hasCode(error, "AddressNotAllowed")) throw error
    return { kind: "closed", detail: detail(error.message) }
  }
  try {
    guard.checkUrl(url)
  } catch (error) {
    return closed(error, (message) => message)
  }
  const host = plainHost(url.hostname)
  try {
    return await unlessAborted(guard.lookup(host, portOf(url)), signal)
  } catch (error) {
    return closed(error, () => `${host} has an address that connections may not go to.`)
  }
}

/** Makes the probe. Each probe resolves its server's name anew, and dials only addresses that the guard has checked. */
export const createRemoteProbe =
  (guard: OutgoingGuard, limits: ProbeLimits = {}): ProbeRemote =>
  async ({ url: text, hasOwnCA }: ProbedServer, signal) => {
    signal.throwIfAborted()
    const url = URL.parse(text)
    if (url === null) return { kind: "closed", detail: "remote.url is no URL." }
    const found = await find(guard, url, signal)
    if ("kind" in found) return found
    return ask({ url, hasOwnCA, addresses: found }, limits, signal)
  }
