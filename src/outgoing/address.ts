/**
 * Which IP addresses are public. An address counts as public only if no registry says otherwise: the special-purpose
 * registries of IANA (RFC 6890), and for IPv6 everything outside of global unicast (RFC 4291 §2.4).
 */
import { isIPv4, isIPv6 } from "node:net"

/** Why an address is closed: also the values of the label `reason`, so that the set stays small. */
export type ClosedReason =
  | "unspecified"
  | "loopback"
  | "private"
  | "shared"
  | "link-local"
  | "multicast"
  | "documentation"
  | "benchmark"
  | "metadata"
  | "special"
  | "reserved"
  | "scoped"
  | "invalid"

/** An address as 16 bytes; IPv4 as the IPv6 address that maps it (RFC 4291 §2.5.5.2), so that both are one. */
export type AddressBytes = Uint8Array

/** A network: its first bits are those of `bytes`. */
export type Network = { readonly bytes: AddressBytes; readonly bits: number }

/** Longest text of an IPv6 address: six groups, and an IPv4 address in dots. */
const longestText = 45

const fromIPv4 = (parts: readonly number[]): AddressBytes =>
  Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...parts])

const groupsOf = (text: string): readonly number[] =>
  text === ""
    ? []
    : text.split(":").flatMap((group) => {
        if (!group.includes(".")) return [Number.parseInt(group, 16)]
        const [a = 0, b = 0, c = 0, d = 0] = group.split(".").map(Number)
        return [a * 256 + b, c * 256 + d]
      })

const fromIPv6 = (text: string): AddressBytes => {
  const [before = "", after] = text.split("::")
  const [left, right] = [groupsOf(before), groupsOf(after ?? "")]
  const zeros = new Array<number>(8 - left.length - right.length).fill(0)
  return Uint8Array.from([...left, ...zeros, ...right].flatMap((group) => [group >> 8, group & 0xff]))
}

/** The bytes of an address; undefined for any other text, and for an address with a zone (RFC 4007 §11). */
export const parseAddress = (text: string): AddressBytes | undefined => {
  if (text.length > longestText || text.includes("%")) return undefined
  if (isIPv4(text)) return fromIPv4(text.split(".").map(Number))
  return isIPv6(text) ? fromIPv6(text) : undefined
}

/** The network of a text such as `10.0.0.0/8`, or of one address; undefined for any other text. */
export const parseNetwork = (text: string): Network | undefined => {
  const [address = "", bits] = text.split("/")
  const bytes = parseAddress(address)
  if (bytes === undefined) return undefined
  const before = isIPv4(address) ? 96 : 0
  return { bytes, bits: bits === undefined ? 128 : before + Number(bits) }
}

/** True if the address is in the network. */
export const isWithin = (address: AddressBytes, { bytes, bits }: Network): boolean => {
  const whole = bits >> 3
  for (let at = 0; at < whole; at++) if (address[at] !== bytes[at]) return false
  const rest = bits & 7
  return rest === 0 || ((address[whole] ?? 0) ^ (bytes[whole] ?? 0)) >> (8 - rest) === 0
}

const network = (text: string): Network => {
  const found = parseNetwork(text)
  if (found === undefined) throw new TypeError(`${text} is no network`)
  return found
}

const specials: readonly (readonly [ClosedReason, ...string[]])[] = [
  // first, since Azure's is in a public range, and the others have their own reason too
  ["metadata", "168.63.129.16", "169.254.169.254", "100.100.100.200", "192.0.0.192", "fd00:ec2::254"],
  ["unspecified", "0.0.0.0/8", "::"],
  ["loopback", "127.0.0.0/8", "::1"],
  // RFC 1918, RFC 4193, and the site-local addresses that RFC 3879 deprecates
  ["private", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10"],
  ["shared", "100.64.0.0/10"],
  ["link-local", "169.254.0.0/16", "fe80::/10"],
  ["multicast", "224.0.0.0/4", "ff00::/8"],
  ["documentation", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"],
  ["benchmark", "198.18.0.0/15"],
  // protocol assignments, 6to4 relays, Teredo and its neighbours with both ORCHIDs
  ["special", "192.0.0.0/24", "192.88.99.0/24", "2001::/23"],
  // compatible and translated IPv4, NAT64 for local use (RFC 8215), discard (RFC 6666), SRv6 (RFC 9602)
  ["special", "::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48", "100::/64", "5f00::/16"],
  ["reserved", "240.0.0.0/4"],
]

const ranges = specials.flatMap(([reason, ...texts]) => texts.map((text) => ({ reason, ...network(text) })))
const metadata = ranges.filter(({ reason }) => reason === "metadata")

const mapped = network("::ffff:0:0/96")
const nat64 = network("64:ff9b::/96")
const sixToFour = network("2002::/16")
const globalUnicast = network("2000::/3")
/** Those that are closed, and that a translator could still turn into their IPv4 address where somebody opens them. */
const carriers = ["::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48"].map(network)

/**
 * The address by which an address is judged: that of IPv4 inside of NAT64 (RFC 6052 §2.1) and 6to4 (RFC 3056 §2), since
 * that is where the packets end; else itself. A mapped IPv4 address has the bytes of its IPv4 address already.
 */
export const judgedAddress = (bytes: AddressBytes): AddressBytes => {
  if (isWithin(bytes, nat64)) return fromIPv4([...bytes.subarray(12)])
  return isWithin(bytes, sixToFour) ? fromIPv4([...bytes.subarray(2, 6)]) : bytes
}

/** Every address at which packets to `bytes` could end. */
export const endsOf = (bytes: AddressBytes): readonly AddressBytes[] => {
  const inner = carriers.some((each) => isWithin(bytes, each)) ? [fromIPv4([...bytes.subarray(12)])] : []
  return [bytes, judgedAddress(bytes), ...inner]
}

/** True if both are the same address. */
export const isSame = (left: AddressBytes, right: AddressBytes): boolean => isWithin(left, { bytes: right, bits: 128 })

/** True for the address of a cloud's metadata service, which gives credentials to everybody who reaches it. */
export const isMetadata = (bytes: AddressBytes): boolean =>
  endsOf(bytes).some((end) => metadata.some((each) => isWithin(end, each)))

/** Why an address is closed; undefined if it is public. */
export const closedReason = (bytes: AddressBytes): ClosedReason | undefined => {
  const judged = judgedAddress(bytes)
  const range = ranges.find((each) => isWithin(judged, each))
  if (range !== undefined) return range.reason
  return isWithin(judged, mapped) || isWithin(judged, globalUnicast) ? undefined : "reserved"
}

/** Why the address of this text is closed; undefined if it is public. A text that is no address is closed. */
export const closedAddress = (address: string): ClosedReason | undefined => {
  const bytes = parseAddress(address)
  if (bytes !== undefined) return closedReason(bytes)
  return address.includes("%") ? "scoped" : "invalid"
}
