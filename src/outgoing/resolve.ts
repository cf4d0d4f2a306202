import { lookup as systemLookup } from "node:dns/promises"
import { isIP } from "node:net"
import { systemCode } from "../errors.ts"
import { unresolved } from "./refusal.ts"

/** An address that a connection can be opened to. */
export type Address = { readonly address: string; readonly family: 4 | 6 }

/** Finds all addresses of a name. */
export type Resolve = (hostname: string) => Promise<readonly Address[]>

const toAddress = (address: string): Address => ({ address, family: isIP(address) === 6 ? 6 : 4 })

/** Resolves names as this machine does: its hosts file, its search domains and its name servers. */
export const resolveBySystem: Resolve = async (hostname) =>
  (await systemLookup(hostname, { all: true, order: "verbatim" })).map(({ address }) => toAddress(address))

/** Rejects with a TimeoutError if the name is not resolved in time; a later answer is dropped. */
const inTime = async (resolve: Resolve, hostname: string, ms: number): Promise<readonly Address[]> => {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new DOMException(`no answer within ${ms} ms`, "TimeoutError")), ms)
  try {
    return await Promise.race([resolve(hostname), late.promise])
  } finally {
    clearTimeout(timer)
  }
}

/** True if DNS says that there is no such name, or that it has no address. */
const isAbsent = (error: unknown): boolean => ["ENOTFOUND", "ENODATA"].includes(systemCode(error))

/** Finds addresses, each in at most so many milliseconds. A literal address is its own. */
export type Finder = {
  /** All addresses of a host. Throws UpstreamUnreachable if it has none, or if nobody knows them. */
  find(host: string): Promise<readonly Address[]>
  /** The same for several hosts; those that do not exist have none. Throws UpstreamUnreachable if nobody knows. */
  findAll(hosts: readonly string[]): Promise<readonly string[]>
}

/** Creates the finder. Remembers no answer. */
export const createFinder = (resolve: Resolve, ms: number): Finder => {
  const ask = async (host: string): Promise<readonly Address[]> =>
    isIP(host) === 0 ? inTime(resolve, host, ms) : [toAddress(host)]
  const askIfThere = async (host: string): Promise<readonly Address[]> => {
    try {
      return await ask(host)
    } catch (error) {
      if (isAbsent(error)) return []
      throw unresolved(host, error)
    }
  }
  return {
    find: async (host) => {
      const found = await ask(host).catch((error: unknown) => {
        throw unresolved(host, error)
      })
      if (found.length === 0) throw unresolved(host, undefined)
      return found
    },
    findAll: async (hosts) => (await Promise.all(hosts.map(askIfThere))).flat().map(({ address }) => address),
  }
}
