/** The places that stay closed whatever is allowed: where this program listens, and its API server. */
import { networkInterfaces } from "node:os"
import { type AddressBytes, closedReason, endsOf, isSame, parseAddress } from "./address.ts"
import { plainHost } from "./allowance.ts"

/** A host and a port that stay closed. A host that is unspecified (`0.0.0.0`, `::`, empty) stands for this machine. */
export type Place = { readonly host: string; readonly port: number }

/** The addresses of this machine; those with a zone are closed anyway. */
export const machineAddresses = (): readonly string[] =>
  Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address))

const isUnspecified = (bytes: AddressBytes): boolean => closedReason(bytes) === "unspecified"
const isLoopback = (bytes: AddressBytes): boolean => closedReason(bytes) === "loopback"

const parseAll = (texts: readonly string[]): readonly AddressBytes[] =>
  texts.map(parseAddress).filter((each): each is AddressBytes => each !== undefined)

const shareEnd = (left: AddressBytes, right: AddressBytes): boolean =>
  endsOf(left).some((end) => endsOf(right).some((other) => isSame(end, other)))

/** True if the place listens at every address of its machine. */
export const isEverywhere = ({ host }: Place): boolean => {
  const bytes = parseAddress(plainHost(host))
  return host === "" || (bytes !== undefined && isUnspecified(bytes))
}

/** True if a connection to `address` stays on this machine: Linux and macOS take the unspecified address for loopback. */
export const isHere = (address: string, machine: readonly string[]): boolean => {
  const bytes = parseAddress(address)
  if (bytes === undefined) return false
  if (endsOf(bytes).some((end) => isUnspecified(end) || isLoopback(end))) return true
  return parseAll(machine).some((each) => shareEnd(bytes, each))
}

/** True if a connection to `address` ends at one of `places`, which are addresses and not unspecified. */
export const reaches = (address: string, places: readonly string[]): boolean => {
  const bytes = parseAddress(address)
  if (bytes === undefined) return false
  const leadsToLoopback = endsOf(bytes).some(isUnspecified)
  return parseAll(places).some((place) => shareEnd(bytes, place) || (leadsToLoopback && isLoopback(place)))
}
