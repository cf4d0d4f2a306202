import { isAppError } from "../../../src/errors.ts"
import { createOutgoingGuard, type OutgoingGuardDeps, type Resolve } from "../../../src/outgoing/guard.ts"
import { carried, spellings } from "./ranges.ts"

/** A name server that knows these names, and counts what it is asked. */
const zone = (names: Readonly<Record<string, readonly string[]>>) => {
  const asked: string[] = []
  const resolve: Resolve = async (name) => {
    asked.push(name)
    const found = names[name]
    if (found === undefined) throw Object.assign(new Error(`getaddrinfo ENOTFOUND ${name}`), { code: "ENOTFOUND" })
    return found.map((address) => ({ address, family: address.includes(":") ? 6 : 4 }))
  }
  return { asked, resolve }
}

/** What a guard knows, besides its defaults. */
export type Given = Partial<OutgoingGuardDeps["options"]> & {
  readonly names?: Readonly<Record<string, readonly string[]>>
  readonly closed?: readonly { readonly host: string; readonly port: number }[]
  readonly machine?: readonly string[]
}

/** A guard, with what it refused and whom it asked for. */
export const guardOf = ({
  names = {},
  closed = [],
  machine = ["127.0.0.1", "10.9.9.9", "::1"],
  ...options
}: Given = {}) => {
  const refused: string[] = []
  const { asked, resolve } = zone(names)
  const guard = createOutgoingGuard({
    options: { allow_http: false, allow_networks: [], allow_hosts: [], ...options },
    closed: () => closed,
    resolve,
    machine: () => machine,
    onRefused: (reason) => refused.push(reason),
  })
  return { ...guard, refused, asked }
}

const failure = (error: unknown): string => {
  if (!isAppError(error)) throw error
  return `${error.code}: ${error.message}`
}
/** Why a URL is refused; undefined if it is not. */
export const urlFault = (given: Given, url: string): string | undefined => {
  try {
    guardOf(given).checkUrl(new URL(url))
    return undefined
  } catch (error) {
    return failure(error)
  }
}
/** The addresses of a host, or why it is refused. */
export const found = async (given: Given, host: string, port = 443): Promise<string | readonly string[]> => {
  try {
    return (await guardOf(given).lookup(host, port)).map(({ address }) => address)
  } catch (error) {
    return failure(error)
  }
}

/** All hosts of URLs that stand for an address. */
export const inURL = (address: string): readonly string[] =>
  address.includes(":") ? [`[${address}]`] : [...spellings(address), ...carried(address).map((each) => `[${each}]`)]
