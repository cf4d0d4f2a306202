import { Resolver, lookup as systemLookup } from "node:dns/promises"
import { readFile } from "node:fs/promises"
import { isIP } from "node:net"
import { systemCode } from "../errors.ts"

/**
 * How this machine resolves names. The system's own function (getaddrinfo) occupies one of four threads that the whole
 * process shares, for as long as a name server keeps it waiting. A hostile name must not do that, so name servers are
 * asked directly first; the system is asked only for names that it may know from elsewhere, and for two at once.
 */

/** An address that a connection can be opened to. */
export type Address = { readonly address: string; readonly family: 4 | 6 }

/** Finds all addresses of a name. */
export type Resolve = (hostname: string) => Promise<readonly Address[]>

/** Wait for one name server, milliseconds, and how often it is asked: less than the guard's limit of 5 s together. */
const patience = { timeout: 1_500, tries: 2 }
/** Most threads of the process that wait for names. */
const mostLookups = 2

/** An address as text, with its family. */
export const toAddress = (address: string): Address => ({ address, family: isIP(address) === 6 ? 6 : 4 })

/** True if DNS says that there is no such name, or that it has no address of the wanted family. */
export const isAbsent = (error: unknown): boolean => ["ENOTFOUND", "ENODATA"].includes(systemCode(error))

/** True if the text of a hosts file (hosts(5)) has the name. */
export const hostsFileHas = (text: string, hostname: string): boolean =>
  text
    .split("\n")
    .map((line) => (line.split("#", 1)[0] ?? "").trim().toLowerCase().split(/\s+/))
    .some(([, ...names]) => names.includes(hostname.toLowerCase()))

/** True if only the system can know the name: one without dots is searched for in several domains. */
const isSystems = async (hostname: string, hostsFile: string): Promise<boolean> => {
  if (!hostname.includes(".")) return true
  const hosts = await readFile(hostsFile, "utf8").catch(() => "")
  return hostsFileHas(hosts, hostname)
}

/** Limits a function to so many calls at once; the others wait for their turn, in order. */
const limited = (resolve: Resolve, most: number): Resolve => {
  let running = 0
  const waiting: (() => void)[] = []
  return async (hostname) => {
    if (running >= most) await new Promise<void>((start) => waiting.push(start))
    else running++
    try {
      return await resolve(hostname)
    } finally {
      const next = waiting.shift()
      if (next === undefined) running--
      else next()
    }
  }
}

const askSystem: Resolve = async (hostname) =>
  (await systemLookup(hostname, { all: true, order: "verbatim" })).map(({ address }) => toAddress(address))

type Found = { readonly addresses: readonly string[] } | { readonly error: unknown }

const settle = async (asked: Promise<readonly string[]>): Promise<Found> => {
  try {
    return { addresses: await asked }
  } catch (error) {
    return { error }
  }
}

/** Asks name servers for addresses of both families. Rejects with an error that is no mere absence, if there is one. */
const askNameServers = async (
  hostname: string,
  servers: readonly string[] | undefined,
): Promise<readonly Address[]> => {
  const resolver = new Resolver(patience)
  if (servers !== undefined) resolver.setServers(servers)
  const found = await Promise.all([settle(resolver.resolve4(hostname)), settle(resolver.resolve6(hostname))])
  const addresses = found.flatMap((each) => ("addresses" in each ? each.addresses : []))
  if (addresses.length > 0) return addresses.map(toAddress)
  const errors = found.flatMap((each) => ("error" in each ? [each.error] : []))
  throw errors.find((error) => !isAbsent(error)) ?? errors[0] ?? new Error("no address")
}

/** Where names come from. */
type Sources = {
  /** Path of the hosts file; default /etc/hosts. */
  readonly hostsFile?: string
  /** Addresses of name servers; default those of /etc/resolv.conf. */
  readonly servers?: readonly string[]
  /** Default: the system's own function. */
  readonly system?: Resolve
}

/** Makes the function that resolves names as this machine does: hosts file, name servers, search domains. */
export const createSystemResolve = ({
  hostsFile = "/etc/hosts",
  servers,
  system = askSystem,
}: Sources = {}): Resolve => {
  const bySystem = limited(system, mostLookups)
  return async (hostname) => {
    if (await isSystems(hostname, hostsFile)) return await bySystem(hostname)
    try {
      return await askNameServers(hostname, servers)
    } catch (error) {
      // the name may be meant for a search domain, as that of a Service without cluster.local
      if (isAbsent(error)) return await bySystem(hostname)
      throw error
    }
  }
}
