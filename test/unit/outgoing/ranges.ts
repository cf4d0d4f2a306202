import type { ClosedReason } from "../../../src/outgoing/address.ts"

/** A range that is no public one: its first and last address, and public neighbours, if there are any. */
export type Range = {
  readonly reason: ClosedReason
  readonly first: string
  readonly last: string
  readonly neighbours: readonly string[]
}

const range = (reason: ClosedReason, first: string, last: string, ...neighbours: string[]): Range => ({
  reason,
  first,
  last,
  neighbours,
})

/** The special ranges of IPv4, written down anew from the registry of IANA. */
export const ranges4: readonly Range[] = [
  range("unspecified", "0.0.0.0", "0.255.255.255", "1.0.0.0"),
  range("private", "10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"),
  range("shared", "100.64.0.0", "100.127.255.255", "100.63.255.255", "100.128.0.0"),
  range("loopback", "127.0.0.0", "127.255.255.255", "126.255.255.255", "128.0.0.0"),
  range("link-local", "169.254.0.0", "169.254.255.255", "169.253.255.255", "169.255.0.0"),
  range("private", "172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0"),
  range("special", "192.0.0.0", "192.0.0.255", "191.255.255.255", "192.0.1.0"),
  range("documentation", "192.0.2.0", "192.0.2.255", "192.0.1.255", "192.0.3.0"),
  range("special", "192.88.99.0", "192.88.99.255", "192.88.98.255", "192.88.100.0"),
  range("private", "192.168.0.0", "192.168.255.255", "192.167.255.255", "192.169.0.0"),
  range("benchmark", "198.18.0.0", "198.19.255.255", "198.17.255.255", "198.20.0.0"),
  range("documentation", "198.51.100.0", "198.51.100.255", "198.51.99.255", "198.51.101.0"),
  range("documentation", "203.0.113.0", "203.0.113.255", "203.0.112.255", "203.0.114.0"),
  range("multicast", "224.0.0.0", "239.255.255.255", "223.255.255.255"),
  range("reserved", "240.0.0.0", "255.255.255.255"),
  range("metadata", "168.63.129.16", "168.63.129.16", "168.63.129.15", "168.63.129.17"),
  range("metadata", "169.254.169.254", "169.254.169.254"),
  range("metadata", "100.100.100.200", "100.100.100.200"),
  range("metadata", "192.0.0.192", "192.0.0.192"),
]

const ones = (groups: number): string => new Array<string>(groups).fill("ffff").join(":")

/** Those of IPv6; everything outside of 2000::/3 is none of the public ones. */
export const ranges6: readonly Range[] = [
  range("unspecified", "::", "::"),
  range("loopback", "::1", "::1"),
  range("special", "::2", "::ffff:ffff"),
  range("special", "::ffff:0:0:0", "::ffff:0:ffff:ffff"),
  range("special", "64:ff9b:1::", `64:ff9b:1:${ones(5)}`),
  range("special", "100::", `100::${ones(4)}`),
  range("reserved", "100:0:0:1::", `1fff:${ones(7)}`, "2000::"),
  range("special", "2001::", `2001:0:${ones(6)}`),
  range("special", "2001:1::1", `2001:1ff:${ones(6)}`, "2001:200::"),
  range("documentation", "2001:db8::", `2001:db8:${ones(6)}`, `2001:db7:${ones(6)}`, "2001:db9::"),
  range("documentation", "3fff::", `3fff:fff:${ones(6)}`, `3ffe:${ones(7)}`, "3fff:1000::"),
  range("reserved", "4000::", `5eff:${ones(7)}`, `3fff:${ones(7)}`),
  range("special", "5f00::", `5f00:${ones(7)}`),
  range("reserved", "5f01::", `fbff:${ones(7)}`),
  range("private", "fc00::", `fdff:${ones(7)}`),
  range("reserved", "fe00::", `fe7f:${ones(7)}`),
  range("link-local", "fe80::", `febf:${ones(7)}`),
  range("private", "fec0::", `feff:${ones(7)}`),
  range("multicast", "ff00::", ones(8)),
  range("metadata", "fd00:ec2::254", "fd00:ec2::254"),
]

/** Public addresses: of services that everybody knows. */
export const publicAddresses = [
  "1.1.1.1",
  "8.8.8.8",
  "93.184.215.14",
  "2606:4700:4700::1111",
  "2a00:1450:4001:80b::200e",
]

const hex = (number: number): string => number.toString(16)
const parts = (address: string): readonly [number, number, number, number] => {
  const [a = 0, b = 0, c = 0, d = 0] = address.split(".").map(Number)
  return [a, b, c, d]
}

/** The IPv6 addresses whose packets end at this IPv4 address. */
export const carried = (address: string): readonly string[] => {
  const [a, b, c, d] = parts(address)
  const [high, low] = [hex(a * 256 + b), hex(c * 256 + d)]
  return [
    `::ffff:${address}`,
    `::FFFF:${high}:${low}`,
    `0:0:0:0:0:ffff:${high}:${low}`,
    `0000:0000:0000:0000:0000:ffff:${high.padStart(4, "0")}:${low.padStart(4, "0")}`,
    `64:ff9b::${address}`,
    `64:ff9b::${high}:${low}`,
    `2002:${high}:${low}::`,
    `2002:${high}:${low}::1`,
  ]
}

/** How a URL can write an IPv4 address besides four decimal numbers (WHATWG URL, IPv4 parser). */
export const spellings = (address: string): readonly string[] => {
  const [a, b, c, d] = parts(address)
  const whole = ((a * 256 + b) * 256 + c) * 256 + d
  return [
    address,
    `${address}.`,
    String(whole),
    `0x${hex(whole)}`,
    `0${whole.toString(8)}`,
    `${a}.${(b * 256 + c) * 256 + d}`,
    `${a}.${b}.${c * 256 + d}`,
    [a, b, c, d].map((part) => `0x${hex(part)}`).join("."),
    [a, b, c, d].map((part) => `0${part.toString(8)}`).join("."),
    address.replaceAll(/\d/g, (digit) => String.fromCodePoint(0xff10 + Number(digit))),
    address.replaceAll(".", "。"),
    address.replaceAll(".", "%2e"),
  ]
}
