/**
 * The guard of outgoing connections: decides where a connection to a name that somebody else wrote may go. It asks DNS
 * once for each connection, checks every address of the answer, and hands on only what it has checked.
 */
import { isIP } from "node:net"
import type { AppError } from "../errors.ts"
import { closedAddress, closedReason, isMetadata, parseAddress } from "./address.ts"
import { type Allowance, createAllowance, longestName, plainHost } from "./allowance.ts"
import { isEverywhere, isHere, machineAddresses, type Place, reaches } from "./own-places.ts"
import { nameRefusal, type RefusalReason, refusal } from "./refusal.ts"
import { createFinder } from "./resolve.ts"
import { type Address, createSystemResolve, type Resolve } from "./system-names.ts"

export type { Address, Resolve } from "./system-names.ts"

/** Dependencies of {@link createOutgoingGuard}. */
export type OutgoingGuardDeps = {
  readonly options: {
    readonly allow_http: boolean
    readonly allow_networks: readonly string[]
    readonly allow_hosts: readonly string[]
  }
  /** Places that stay closed whatever is allowed; asked at each check, since ports are known late. */
  readonly closed: () => readonly Place[]
  /** Default: as this machine resolves names. */
  readonly resolve?: Resolve
  /** Default: the addresses of this machine's network interfaces. */
  readonly machine?: () => readonly string[]
  /** Called for each refusal, with a reason of a small set. */
  readonly onRefused?: (reason: RefusalReason) => void
  /** Longest wait for DNS, in milliseconds; default 5 s. */
  readonly resolveMs?: number
}

/** Decides about connections, before and while they are opened. */
export type OutgoingGuard = {
  /**
   * Throws AddressNotAllowed for what can be seen without a question: another scheme, a user, port 0, an address that is
   * closed. A name that passes may still be refused by {@link lookup}.
   */
  checkUrl(url: URL): void
  /**
   * The addresses of a host, all of which are checked: connect to one of them, and to no other. Throws AddressNotAllowed,
   * or UpstreamUnreachable if the name cannot be resolved.
   */
  lookup(hostname: string, port: number): Promise<readonly Address[]>
}

const resolveMs = 5_000
/** Most addresses of one name that are handed on: all are checked, and no connection tries more in its time. */
const mostAddresses = 8

const defaultPorts: Readonly<Record<string, number>> = { "http:": 80, "https:": 443 }

/** The port to which a URL leads; 0 if its scheme has none that we know. */
export const portOf = ({ port, protocol }: Pick<URL, "port" | "protocol">): number =>
  port === "" ? (defaultPorts[protocol] ?? 0) : Number(port)

const schemeFault = ({ protocol, username, password }: URL, allowHttp: boolean): RefusalReason | undefined => {
  if (protocol !== "https:" && !(allowHttp && protocol === "http:")) return "scheme"
  return username === "" && password === "" ? undefined : "userinfo"
}

const hostFault = (host: string, port: number): RefusalReason | undefined => {
  if (!Number.isInteger(port) || port < 1 || port > 65_535) return "port"
  if (host.includes("%")) return "scoped"
  // a NUL or a blank would end the name for some resolvers, and not for others
  return host === "" || host.length > longestName || /[^\x21-\x7e]/.test(host) ? "host" : undefined
}

/** What applies to the addresses of one host, at one port. */
type Rules = {
  readonly allowance: Allowance
  /** True if an administrator has allowed the host. */
  readonly isAllowedHost: boolean
  /** Addresses that stay closed. */
  readonly places: readonly string[]
  /** Addresses of this machine, if one of its ports is listened to at all of them. */
  readonly machine: readonly string[] | undefined
}

/** Why an address is refused; undefined if a connection may go there. What no allowance changes comes first. */
const addressFault = (address: string, rules: Rules): RefusalReason | undefined => {
  const bytes = parseAddress(address)
  if (bytes === undefined) return closedAddress(address)
  if (isMetadata(bytes)) return "metadata"
  if (reaches(address, rules.places)) return "own"
  if (rules.machine !== undefined && isHere(address, rules.machine)) return "own"
  const reason = closedReason(bytes)
  if (reason === undefined || rules.isAllowedHost || rules.allowance.hasAddress(address)) return undefined
  return reason
}

/** The rules for a host, and the hosts of places that stay closed at its port. */
const rulesFor = (
  { closed, machine = machineAddresses }: OutgoingGuardDeps,
  allowance: Allowance,
  { host, port }: { readonly host: string; readonly port: number },
): { readonly rules: Omit<Rules, "places">; readonly hosts: readonly string[] } => {
  const places = closed().filter((place) => place.port === port)
  return {
    rules: {
      allowance,
      isAllowedHost: allowance.hasHost(host, port),
      machine: places.some(isEverywhere) ? machine() : undefined,
    },
    hosts: places.filter((place) => !isEverywhere(place)).map((place) => plainHost(place.host)),
  }
}

const distinct = (addresses: readonly Address[]): readonly Address[] => [
  ...new Map(addresses.map((each) => [each.address, each])).values(),
]

/** Creates the guard. Asks nobody before the first lookup. */
export const createOutgoingGuard = (deps: OutgoingGuardDeps): OutgoingGuard => {
  const { options, onRefused = () => {} } = deps
  const allowance = createAllowance(options)
  const finder = createFinder(deps.resolve ?? createSystemResolve(), deps.resolveMs ?? resolveMs)
  const refuse = (reason: RefusalReason | undefined, toError: (reason: RefusalReason) => AppError): void => {
    if (reason === undefined) return
    onRefused(reason)
    throw toError(reason)
  }

  return {
    checkUrl: (url) => {
      const [host, port] = [plainHost(url.hostname), portOf(url)]
      const byItself = (reason: RefusalReason) => refusal(host === "" ? "The URL" : host, reason)
      refuse(schemeFault(url, options.allow_http) ?? hostFault(host, port), byItself)
      if (isIP(host) === 0) return
      const { rules, hosts } = rulesFor(deps, allowance, { host, port })
      refuse(addressFault(host, { ...rules, places: hosts.filter((each) => isIP(each) !== 0) }), byItself)
    },
    lookup: async (hostname, port) => {
      const host = plainHost(hostname)
      const byItself = (reason: RefusalReason) => refusal(host, reason)
      refuse(hostFault(host, port), byItself)
      const { rules, hosts } = rulesFor(deps, allowance, { host, port })
      refuse(hosts.includes(host) ? "own" : undefined, byItself)
      const [addresses, places] = await Promise.all([finder.find(host), finder.findAll(hosts)])
      for (const { address } of addresses)
        refuse(addressFault(address, { ...rules, places }), (reason) =>
          address === host ? refusal(host, reason) : nameRefusal(host, address, reason),
        )
      return distinct(addresses).slice(0, mostAddresses)
    },
  }
}
