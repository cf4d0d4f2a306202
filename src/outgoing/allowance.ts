/** What an administrator allows in addition (remote.allow_networks, remote.allow_hosts). Decides, and asks nobody. */
import { isWithin, judgedAddress, type Network, parseAddress, parseNetwork } from "./address.ts"

/** Decides what is open although the address is special. */
export type Allowance = {
  /** True if the address is in an allowed network; one that contains an IPv4 address is judged by that one. */
  hasAddress(address: string): boolean
  /** True if the host is allowed at this port, whatever its addresses are. */
  hasHost(hostname: string, port: number): boolean
}

/** The ports at which a host is allowed. */
type Ports = "all" | Set<number>

/** Longest name in DNS, as text without the dot of the root (RFC 1035 §2.3.4). */
export const longestName = 253

/** A host as it is compared: lower case, without brackets and without the dot of the root. */
export const plainHost = (hostname: string): string => {
  const host = hostname.startsWith("[") && hostname.endsWith("]") ? hostname.slice(1, -1) : hostname
  return (host.endsWith(".") ? host.slice(0, -1) : host).toLowerCase()
}

/** As a URL would write it: `①.example` and `0x7f.1` have other names there. */
const written = (host: string): string => {
  const url = URL.parse(`https://${host}`)
  return plainHost(url === null ? host : url.hostname)
}

const portOf = (entry: string): { readonly host: string; readonly port: number | undefined } => {
  const found = /:(\d{1,5})$/.exec(entry)
  return found === null
    ? { host: entry, port: undefined }
    : { host: entry.slice(0, found.index), port: Number(found[1]) }
}

const add = (hosts: Map<string, Ports>, host: string, port: number | undefined): void => {
  const known = hosts.get(host)
  if (known === "all") return
  if (port === undefined) hosts.set(host, "all")
  else if (known === undefined) hosts.set(host, new Set([port]))
  else known.add(port)
}

const isOpen = (ports: Ports | undefined, port: number): boolean => ports === "all" || ports?.has(port) === true

/** True if a name above `host` is in the list: `a.b.example` has `b.example` and `example` above it. */
const hasAbove = (suffixes: ReadonlyMap<string, Ports>, host: string, port: number): boolean => {
  for (let dot = host.indexOf("."); dot >= 0; dot = host.indexOf(".", dot + 1))
    if (isOpen(suffixes.get(host.slice(dot + 1)), port)) return true
  return false
}

/** Reads the lists of the configuration, which has validated them. */
export const createAllowance = (lists: {
  readonly allow_networks: readonly string[]
  readonly allow_hosts: readonly string[]
}): Allowance => {
  const networks = lists.allow_networks.map(parseNetwork).filter((each): each is Network => each !== undefined)
  const hosts = new Map<string, Ports>()
  const suffixes = new Map<string, Ports>()
  for (const entry of lists.allow_hosts) {
    const { host, port } = portOf(entry)
    if (host.startsWith("*.")) add(suffixes, written(host.slice(2)), port)
    else add(hosts, written(host), port)
  }
  return {
    hasAddress: (address) => {
      const bytes = parseAddress(address)
      if (bytes === undefined) return false
      const judged = judgedAddress(bytes)
      return networks.some((each) => isWithin(judged, each))
    },
    hasHost: (hostname, port) => {
      const host = plainHost(hostname)
      if (host.length > longestName) return false
      // no suffix is one of an address: a URL would write `*.0.0.1` as `*.0.0.0.1`
      return isOpen(hosts.get(host), port) || hasAbove(suffixes, host, port)
    },
  }
}
