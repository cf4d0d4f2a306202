import { Resolver, lookup as systemLookup } from "node:dns/promises"
import { readFile } from "node:fs/promises"
import { isIP } from "node:net"
import { systemCode } from "../errors.ts"

/**
 * How this machine resolves names. The system's own function (getaddrinfo) occupies one of four threads that the whole
 * process shares, for as long as a name server keeps it waiting. A hostile name must not do that, so name servers are
 * asked directly, in the search domains too. The system is asked only for names that it has from its hosts file.
 */

/** An address that a connection can be opened to. */
export type Address = { readonly address: string; readonly family: 4 | 6 }

/** Finds all addresses of a name. */
export type Resolve = (hostname: string) => Promise<readonly Address[]>

/** Wait for one name server, milliseconds, and how often it is asked: less than the guard's limit of 5 s together. */
const patience = { timeout: 1_500, tries: 2 }
/** Most search domains that are tried (resolv.conf(5) has at most six). */
const mostDomains = 6

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

/** The search domains of a text of resolv.conf(5): those of the last `search` or `domain`. */
export const searchDomainsIn = (text: string): readonly string[] => {
  const lines = text.split("\n").map((line) => line.trim().split(/\s+/))
  const found = lines.findLast(([keyword]) => keyword === "search" || keyword === "domain") ?? []
  return found.slice(1, 1 + mostDomains).filter((domain) => domain !== ".")
}

/** The names that are asked for, in order: those with dots may be whole already, others are not. */
const candidates = (hostname: string, domains: readonly string[]): readonly string[] => {
  const within = domains.map((domain) => `${hostname}.${domain}`)
  return hostname.includes(".") ? [hostname, ...within] : [...within, hostname]
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
  /** Path of the file with the search domains; default /etc/resolv.conf. */
  readonly resolvFile?: string
  /** Addresses of name servers; default those of /etc/resolv.conf. */
  readonly servers?: readonly string[]
  /** Default: the system's own function. */
  readonly system?: Resolve
}

const textOf = (file: string): Promise<string> => readFile(file, "utf8").catch(() => "")

/** Makes the function that resolves names as this machine does: hosts file, name servers, search domains. */
export const createSystemResolve =
  ({ hostsFile = "/etc/hosts", resolvFile = "/etc/resolv.conf", servers, system = askSystem }: Sources = {}): Resolve =>
  async (hostname) => {
    if (hostname === "localhost" || hostsFileHas(await textOf(hostsFile), hostname)) return await system(hostname)
    let absent: unknown
    for (const name of candidates(hostname, searchDomainsIn(await textOf(resolvFile)))) {
      try {
        return await askNameServers(name, servers)
      } catch (error) {
        // a silent name server does not say that there is no such name
        if (!isAbsent(error)) throw error
        absent = error
      }
    }
    throw absent
  }
