import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { closedAddress, isWithin, parseAddress, parseNetwork } from "../../../src/outgoing/address.ts"
import { carried, publicAddresses, ranges4, ranges6 } from "./ranges.ts"

/** The second reason is that of a wider range in which a metadata address is. */
const all = [...ranges4, ...ranges6]

describe("an address of a special range is closed", () => {
  test.each(all.map((each) => [each.first, each.last, each.reason] as const))(
    "%s to %s is %s",
    (first, last, reason) => {
      expect([closedAddress(first), closedAddress(last)]).toEqual([reason, reason])
    },
  )

  test.each(ranges4.map(({ first, last, reason }) => [first, last, reason] as const))(
    "%s to %s inside of an IPv6 address is %s",
    (first, last, reason) => {
      for (const address of [...carried(first), ...carried(last)]) expect(closedAddress(address), address).toBe(reason)
    },
  )

  test("also in the middle of the range, wherever that is", () => {
    for (const { first, last, reason } of ranges4.filter(({ reason: each }) => each !== "metadata")) {
      const [from, to] = [numberOf(first), numberOf(last)]
      fc.assert(
        fc.property(fc.integer({ min: from, max: to }), (number) => {
          const found = closedAddress(textOf(number))
          expect(found === "metadata" ? reason : found).toBe(reason)
        }),
      )
    }
  })
})

describe("a public address is open", () => {
  const neighbours = all.flatMap((each) => each.neighbours)
  test.each([...publicAddresses, ...neighbours])("%s", (address) => {
    expect(closedAddress(address)).toBeUndefined()
  })
  test.each([...publicAddresses, ...neighbours].filter((each) => !each.includes(":")))(
    "%s inside of IPv6",
    (address) => {
      expect(carried(address).map(closedAddress)).toEqual(carried(address).map(() => undefined))
    },
  )
})

describe("what is no address is closed", () => {
  test.each([
    ["a scoped address", "fe80::1%eth0", "scoped"],
    ["a public one with a zone", "2606:4700::1%1", "scoped"],
    ["a name", "localhost", "invalid"],
    ["nothing", "", "invalid"],
    ["a number", "2130706433", "invalid"],
    ["hex parts", "0x7f.0.0.1", "invalid"],
    ["octal parts", "0177.0.0.1", "invalid"],
    ["three parts", "127.0.1", "invalid"],
    ["five parts", "8.8.8.8.8", "invalid"],
    ["a part above 255", "8.8.8.256", "invalid"],
    ["a dot at the end", "8.8.8.8.", "invalid"],
    ["a blank at the end", "8.8.8.8 ", "invalid"],
    ["a NUL at the end", "8.8.8.8\0", "invalid"],
    ["a line at the end", "8.8.8.8\n", "invalid"],
    ["two gaps", "2606::1::1", "invalid"],
    ["nine groups", "2606:1:1:1:1:1:1:1:1", "invalid"],
    ["brackets", "[2606:4700::1]", "invalid"],
    ["a network", "8.8.8.8/32", "invalid"],
    ["a text without an end", "8".repeat(1_000_000), "invalid"],
  ])("%s", (_, address, reason) => {
    expect(closedAddress(address)).toBe(reason)
  })
})

const numberOf = (address: string): number => address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0)
const textOf = (number: number): string =>
  [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join(".")

describe("for every address", () => {
  const ipv4 = fc.ipV4()
  const ipv6 = fc.ipV6()

  test("the verdict on an IPv4 address is that on all IPv6 addresses that carry it", () => {
    fc.assert(
      fc.property(ipv4, (address) => {
        for (const each of carried(address)) expect(closedAddress(each), each).toBe(closedAddress(address))
      }),
    )
  })

  test("an IPv6 address outside of 2000::/3 is open only if it carries a public IPv4 address", () => {
    fc.assert(
      fc.property(ipv6, (address) => {
        const bytes = parseAddress(address)
        if (bytes === undefined) return expect(closedAddress(address)).toMatch(/invalid|scoped/)
        const isGlobal = ((bytes[0] ?? 0) & 0xe0) === 0x20
        const carries = ["::ffff:0:0/96", "64:ff9b::/96"].some((text) => isWithin(bytes, networkOf(text)))
        if (closedAddress(address) === undefined) expect(isGlobal || carries).toBe(true)
      }),
      { numRuns: 500 },
    )
  })

  test("the bytes are those that a URL writes", () => {
    fc.assert(
      fc.property(ipv6, (address) => {
        const url = URL.parse(`https://[${address}]`)
        if (url === null) return
        expect(parseAddress(url.hostname.slice(1, -1))).toEqual(parseAddress(address))
      }),
    )
  })
})

const networkOf = (text: string) => {
  const found = parseNetwork(text)
  if (found === undefined) throw new Error(text)
  return found
}

describe("a network", () => {
  test.each([
    ["10.0.0.0/8", "10.255.255.255", "11.0.0.0"],
    ["10.0.0.7", "10.0.0.7", "10.0.0.6"],
    ["10.0.0.7/32", "::ffff:10.0.0.7", "10.0.0.8"],
    ["10.4.0.0/15", "10.5.255.255", "10.6.0.0"],
    ["0.0.0.0/0", "255.255.255.255", "::1"],
    ["fd00::/8", "fdff::1", "fc00::1"],
    ["fd00::1", "fd00:0::1", "fd00::2"],
    ["::/0", "10.0.0.1", undefined],
  ])("%s contains %s, not %s", (text, inside, outside) => {
    const contains = (address: string) => {
      const bytes = parseAddress(address)
      return bytes !== undefined && isWithin(bytes, networkOf(text))
    }
    expect(contains(inside)).toBe(true)
    if (outside !== undefined) expect(contains(outside)).toBe(false)
  })
  test("with its host bits set is the same network", () => {
    expect(isWithin(parseAddress("10.1.2.3") ?? new Uint8Array(16), networkOf("10.9.9.9/8"))).toBe(true)
  })
})
