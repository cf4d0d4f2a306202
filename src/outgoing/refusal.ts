import { AppError } from "../errors.ts"
import type { ClosedReason } from "./address.ts"

/** Why a connection is refused; the values of the label `reason`. */
export type RefusalReason = ClosedReason | "scheme" | "userinfo" | "host" | "port" | "own"

/** Completes «HOST resolves to an address that is …» and «ADDRESS is …». */
const phrases: Readonly<Record<RefusalReason, string>> = {
  unspecified: "the unspecified address",
  loopback: "a loopback address",
  private: "private",
  shared: "shared by the customers of a provider (RFC 6598)",
  "link-local": "link-local",
  multicast: "a multicast address",
  documentation: "reserved for documentation",
  benchmark: "reserved for benchmarks",
  metadata: "a metadata service",
  special: "set aside for a special purpose",
  reserved: "reserved",
  scoped: "an address of one network interface",
  invalid: "no IP address",
  scheme: "not an https URL",
  userinfo: "a URL with a user",
  host: "no name of a host",
  port: "not a port that a connection can go to",
  own: "where this program or its API server listens",
}

/** Reasons that no allowance changes. */
const final: ReadonlySet<RefusalReason> = new Set(["metadata", "own"])

/** Most characters of a host that an error repeats. */
const longestShown = 253

const shown = (text: string): string => (text.length > longestShown ? `${text.slice(0, longestShown)}…` : text)

/** The error for a URL or an address that is refused by itself. It names the host, never user, path or query. */
export const refusal = (host: string, reason: RefusalReason): AppError =>
  new AppError("AddressNotAllowed", {
    detail: `${shown(host)} is ${phrases[reason]}${final.has(reason) ? ", which is never allowed" : ""}.`,
    data: { reason },
  })

/**
 * The error for a name because of one of its addresses. The address itself is only in the cause, for the log: it tells
 * the author of a target what the name servers of the cluster know.
 */
export const nameRefusal = (host: string, address: string, reason: RefusalReason): AppError =>
  new AppError("AddressNotAllowed", {
    detail: `${shown(host)} resolves to an address that is ${phrases[reason]}${final.has(reason) ? " and never allowed" : ""}.`,
    data: { reason },
    cause: new AppError("AddressNotAllowed", { detail: `It resolves to ${address}.` }),
  })

/** The error for a name whose addresses cannot be found. */
export const unresolved = (host: string, cause: unknown): AppError =>
  new AppError("UpstreamUnreachable", {
    detail: `The name ${shown(host)} cannot be resolved.`,
    data: { phase: "connect" },
    cause,
  })
