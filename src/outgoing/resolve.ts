import { isIP } from "node:net"
import { createSingleFlight } from "../waiting/single-flight.ts"
import { unresolved } from "./refusal.ts"
import { type Address, isAbsent, type Resolve, toAddress } from "./system-names.ts"

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

/** Finds addresses, each in at most so many milliseconds. A literal address is its own. */
export type Finder = {
  /** All addresses of a host. Throws UpstreamUnreachable if it has none, or if nobody knows them. */
  find(host: string): Promise<readonly Address[]>
  /** The same for several hosts; those that do not exist have none. Throws UpstreamUnreachable if nobody knows. */
  findAll(hosts: readonly string[]): Promise<readonly string[]>
}

/** Creates the finder. Remembers no answer, but connections that are opened at once to one host share a question. */
export const createFinder = (resolve: Resolve, ms: number): Finder => {
  const alone = createSingleFlight<readonly Address[]>()
  const ask = async (host: string): Promise<readonly Address[]> =>
    isIP(host) === 0 ? alone(host, () => inTime(resolve, host, ms)) : [toAddress(host)]
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
