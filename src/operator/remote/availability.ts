/** What the condition Available of a target says about somebody else's server. Pure. */
import { readable } from "../../api/foreign-text.ts"
import { findCondition } from "../../api/kinds/kind.ts"
import type { MCPTarget } from "../../api/kinds/mcp-target.ts"
import type { CertificateFault, ProbeResult, UnreachableCause } from "../../ports/remote-probe.ts"
import { type ProbeReason, probeReasons } from "../reasons.ts"

/** Status, reason and message of the condition Available. The texts are stable: equal findings give equal texts. */
export type Availability = {
  readonly status: "True" | "False" | "Unknown"
  readonly reason: ProbeReason
  readonly message: string
}

/** Longest host that a message repeats. */
const longestHost = 120

const causes: Readonly<Record<UnreachableCause, string>> = {
  NameUnknown: "DNS has no address of it. Check the host in remote.url, and the cluster's DNS.",
  ConnectionRefused: "nothing listens at its port. Check the port in remote.url, and whether the server runs.",
  NoRoute: "there is no route to it. Check the network, and NetworkPolicies.",
  ConnectTimeout: "it takes no connection. Check whether it runs, and whether NetworkPolicies and firewalls allow it.",
  NoTLS: "TLS cannot be agreed on. Does it speak https at this port?",
  ConnectionLost: "it ends the connection without an answer.",
  AnswerTimeout: "it takes the connection but does not answer.",
  NoHTTP: "its answer is no HTTP.",
}

const faults: Readonly<Record<CertificateFault, string>> = {
  UnknownAuthority: "no known authority has signed it. Name a Secret with the authority's ca.crt in remote.caSecret.",
  OtherName: "it is for another name. Check the host in remote.url.",
  Expired: "it has expired. Whoever runs the server must renew it.",
  NotYetValid: "it is not valid yet. Check the clocks.",
  Revoked: "it was revoked. Whoever runs the server must renew it.",
  Unusable: "it cannot be used for this server.",
}

const hostOf = (url: string): string => readable(URL.parse(url)?.host ?? url, longestHost)

const unverified = (caSecret: string | undefined): string =>
  caSecret === undefined
    ? ""
    : ` Gateways verify its certificate with ca.crt of the Secret ${readable(caSecret)}; this check does not.`

/** True for the same host and port; a server behind a proxy that ends TLS takes its own scheme for http. */
const isSameServer = (url: string, origin: string | undefined): boolean =>
  origin !== undefined && URL.parse(origin)?.host === URL.parse(url)?.host

/** True for a redirect that gateways follow: once, to the same server, with the same method. */
const isFollowed = (url: string, { status, origin }: Extract<ProbeResult, { kind: "redirected" }>): boolean =>
  (status === 307 || status === 308) && isSameServer(url, origin)

const ofAnswer = (status: number, host: string, more: string): Availability => {
  if (status >= 500) {
    const message = `${host} can be reached, but it answers with a server error.${more}`
    return { status: "True", reason: "ServerError", message }
  }
  const hint = status === 404 || status === 410 ? " It has no page at this path: check the path in remote.url." : ""
  return { status: "True", reason: "Available", message: `${host} can be reached.${hint}${more}` }
}

const ofRedirect = (url: string, origin: string | undefined): Availability => {
  const where = isSameServer(url, origin) ? "another path" : readable(origin ?? "no http URL", longestHost)
  const what = `${hostOf(url)} redirects to ${where}, and gateways do not follow.`
  return { status: "False", reason: "Redirects", message: `${what} Name the final URL in remote.url.` }
}

const ofResult = ({ url, caSecret }: { url: string; caSecret?: string | undefined }, result: ProbeResult) => {
  const host = hostOf(url)
  const bad = (reason: ProbeReason, message: string): Availability => ({ status: "False", reason, message })
  switch (result.kind) {
    case "answered":
      return ofAnswer(result.status, host, unverified(caSecret))
    case "redirected":
      return isFollowed(url, result)
        ? ofAnswer(result.status, host, unverified(caSecret))
        : ofRedirect(url, result.origin)
    case "closed":
      return bad("AddressNotAllowed", readable(result.detail, 600))
    case "certificate":
      return bad("CertificateInvalid", `The certificate of ${host} is refused: ${faults[result.fault]}`)
    case "unreachable":
      return bad("Unreachable", `${host} cannot be reached: ${causes[result.cause]}`)
  }
}

/** True for a reason that only probes of remote servers have, and for `Available`. */
export const isProbeReason = (reason: string): reason is ProbeReason =>
  (probeReasons as readonly string[]).includes(reason)

/** What an earlier operator found for this generation: it stays until the first probe of this one. */
const kept = ({ metadata, status }: MCPTarget): Availability | undefined => {
  const before = findCondition(status?.conditions, "Available")
  if (before === undefined || before.observedGeneration !== metadata.generation) return undefined
  const { reason, message } = before
  return isProbeReason(reason) ? { status: before.status, reason, message } : undefined
}

/** What Available says of a remote target after a probe; without one, what it said before, or that nothing is known. */
export const remoteAvailability = (target: MCPTarget, result: ProbeResult | undefined): Availability => {
  const { remote } = target.spec
  if (result !== undefined && remote !== undefined) return ofResult(remote, result)
  const message = "The server was not probed yet. Requests to it are served all the same."
  return kept(target) ?? { status: "Unknown", reason: "NotProbed", message }
}

/** True if the next probe should come soon: something may be repaired. */
export const isFailing = (target: MCPTarget, result: ProbeResult): boolean =>
  remoteAvailability(target, result).reason !== "Available"
