import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { errorTable } from "../../../src/errors.ts"
import { createOutgoingGuard } from "../../../src/outgoing/guard.ts"
import { found, guardOf, inURL, urlFault } from "./guard-of.ts"
import { carried, publicAddresses, ranges4, ranges6 } from "./ranges.ts"

describe("a URL", () => {
  test.each([
    "https://mcp.example.com",
    "https://mcp.example.com:8443/mcp?a=b",
    "https://8.8.8.8",
    "https://[2606::1]",
  ])("%s may be dialled", (url) => expect(urlFault({}, url)).toBeUndefined())
  test.each([
    ["http://mcp.example.com", "mcp.example.com is not an https URL."],
    ["ftp://mcp.example.com", "mcp.example.com is not an https URL."],
    ["ws://mcp.example.com", "mcp.example.com is not an https URL."],
    ["file:///etc/passwd", "The URL is not an https URL."],
    ["data:text/plain,a", "The URL is not an https URL."],
    ["https://user@mcp.example.com", "mcp.example.com is a URL with a user."],
    ["https://:secret@mcp.example.com", "mcp.example.com is a URL with a user."],
    ["https://mcp.example.com:0", "mcp.example.com is not a port that a connection can go to."],
    [`https://${"a.".repeat(150)}example`, `${"a.".repeat(150).slice(0, 253)}… is no name of a host.`],
    ["https://169.254.169.254/latest?token=secret", "169.254.169.254 is a metadata service, which is never allowed."],
  ])("%s is refused", (url, detail) => {
    expect(urlFault({}, url)).toBe(`AddressNotAllowed: ${detail}`)
  })
  test("may be http where that is allowed, and nothing else besides", () => {
    expect(urlFault({ allow_http: true }, "http://mcp.example.com")).toBeUndefined()
    expect(urlFault({ allow_http: true }, "ftp://mcp.example.com")).toContain("not an https URL")
    expect(urlFault({ allow_http: true }, "http://user@mcp.example.com")).toContain("with a user")
  })
  test("is refused without its user, path and query in the message", () => {
    expect(urlFault({}, "https://me:secret@10.0.0.7/path?query")).not.toMatch(/me|secret|path|query/)
  })
  test("of a name asks nobody", () => {
    const guard = guardOf()
    guard.checkUrl(new URL("https://localhost"))
    expect(guard.asked).toEqual([])
  })
})

const closedRanges = [...ranges4, ...ranges6].flatMap(({ first, last, reason }) => [
  [first, reason] as const,
  [last, reason] as const,
])
describe("a closed address is refused", () => {
  test.each(closedRanges)("%s: as the host of a URL, in every spelling", (address, reason) => {
    for (const host of inURL(address)) {
      const guard = guardOf()
      expect(() => guard.checkUrl(new URL(`https://${host}/`)), host).toThrow()
      expect(guard.refused, host).toEqual([reason])
    }
  })
  test.each(closedRanges)("%s: as the host of a connection", async (address, reason) => {
    for (const host of [address, ...(address.includes(":") ? [] : carried(address)), `[${address}]`]) {
      const guard = guardOf()
      await expect(guard.lookup(host, 443), host).rejects.toThrow()
      expect([guard.refused, guard.asked], host).toEqual([[reason], []])
    }
  })
  test.each(closedRanges)("%s: as the address of a name, alone and beside a public one", async (address, reason) => {
    for (const each of [address, ...(address.includes(":") ? [] : carried(address))])
      for (const answer of [[each], [each, "8.8.8.8"], ["8.8.8.8", "2606::1", each]]) {
        const guard = guardOf({ names: { "mcp.example.com": answer } })
        await expect(guard.lookup("mcp.example.com", 443), each).rejects.toMatchObject({
          message: expect.stringMatching(/^mcp\.example\.com resolves to an address that is /),
          cause: { message: `It resolves to ${each}.` },
        })
        expect(guard.refused).toEqual([reason])
      }
  })
  test("with the name and the reason; the address is for the log only", async () => {
    const names = { "mcp.example.com": ["8.8.8.8", "10.0.0.7"] }
    expect(await found({ names }, "mcp.example.com")).toBe(
      "AddressNotAllowed: mcp.example.com resolves to an address that is private.",
    )
    expect(errorTable.AddressNotAllowed.status).toBe(502)
  })
  test("if the resolver gives what is no address", async () => {
    expect(await found({ names: { a: ["8.8.8.8", "fe80::1%eth0"] } }, "a")).toContain("one network interface")
    expect(await found({ names: { a: ["localhost"] } }, "a")).toContain("no IP address")
  })
})

describe("a name", () => {
  test.each(publicAddresses)("with the address %s may be dialled at it", async (address) => {
    expect(await found({ names: { "mcp.example.com": [address] } }, "mcp.example.com")).toEqual([address])
  })
  test("is asked for once in each lookup, with the dot at its end taken off", async () => {
    const guard = guardOf({ names: { "mcp.example.com": ["8.8.8.8"] } })
    await guard.lookup("MCP.example.com.", 443)
    expect(guard.asked).toEqual(["mcp.example.com"])
    await guard.lookup("mcp.example.com", 443)
    expect(guard.asked).toHaveLength(2)
  })
  test("has at most eight addresses for a connection, each once, but all are checked", async () => {
    const many = Array.from({ length: 1_000 }, (_, at) => `8.8.${at >> 8}.${at & 255}`)
    expect(await found({ names: { a: [...many.slice(0, 4), ...many] } }, "a")).toEqual(many.slice(0, 8))
    expect(await found({ names: { a: [...many, "10.0.0.7"] } }, "a")).toContain("an address that is private")
  })
  test.each(["", "a b", "a\0.example", "a%00", "ü.example", "a".repeat(254)])("%j is none", async (host) => {
    const guard = guardOf({ names: { [host]: ["8.8.8.8"] } })
    await expect(guard.lookup(host, 443)).rejects.toThrow(/no name of a host|one network interface/)
    expect(guard.asked).toEqual([])
  })
  test.each([0, -1, 65_536, 1.5, Number.NaN])("has no port %d", async (port) => {
    expect(await found({ names: { a: ["8.8.8.8"] } }, "a", port)).toContain("not a port")
  })
  test("that cannot be resolved is unreachable, which is no refusal", async () => {
    const guard = guardOf({ names: { empty: [] } })
    for (const host of ["gone.example", "empty"])
      await expect(guard.lookup(host, 443)).rejects.toMatchObject({
        code: "UpstreamUnreachable",
        data: { phase: "connect" },
      })
    expect(guard.refused).toEqual([])
  })
  test("that nobody answers for is given up", async () => {
    const options = { allow_http: false, allow_networks: [], allow_hosts: [] }
    const guard = createOutgoingGuard({
      options,
      closed: () => [],
      resolve: () => new Promise(() => {}),
      resolveMs: 20,
    })
    await expect(guard.lookup("slow.example", 443)).rejects.toMatchObject({ code: "UpstreamUnreachable" })
  })
})

describe("an administrator may allow", () => {
  const names = { "mcp.corp.example": ["10.0.0.7", "8.8.8.8"], "rebound.example": ["10.0.1.7"] }
  test("a network, for names and for addresses", async () => {
    const given = { names, allow_networks: ["10.0.0.0/24"] }
    expect(await found(given, "mcp.corp.example")).toEqual(["10.0.0.7", "8.8.8.8"])
    expect(await found(given, "rebound.example")).toContain("an address that is private")
    for (const host of inURL("10.0.0.7")) expect(urlFault(given, `https://${host}`), host).toBeUndefined()
    for (const host of inURL("10.0.1.7")) expect(urlFault(given, `https://${host}`), host).toBeDefined()
  })
  test("a host, whatever its addresses are", async () => {
    const given = { names, allow_hosts: ["mcp.corp.example:443", "10.0.0.9"] }
    expect(await found(given, "mcp.corp.example")).toEqual(["10.0.0.7", "8.8.8.8"])
    expect(await found(given, "mcp.corp.example", 80)).toContain("an address that is private")
    expect(await found(given, "rebound.example")).toContain("an address that is private")
    expect(urlFault(given, "https://10.0.0.9")).toBeUndefined()
  })
})

test("whatever a name server says, no address is handed on that is closed", async () => {
  const address = fc.oneof(
    fc.ipV4(),
    fc.ipV6(),
    fc.constantFrom(...closedRanges.map(([each]) => each), ...publicAddresses),
    fc.constantFrom("fe80::1%1", "localhost", "", "0x7f.1"),
  )
  const isClosed = async (each: string) => typeof (await found({ names: { a: [each] } }, "a")) === "string"
  await fc.assert(
    fc.asyncProperty(fc.array(address, { minLength: 1, maxLength: 6 }), async (answer) => {
      const verdict = await found({ names: { a: answer } }, "a")
      const closed = await Promise.all(answer.map(isClosed))
      if (typeof verdict === "string") expect(closed).toContain(true)
      else {
        expect(closed).not.toContain(true)
        expect(verdict).toEqual([...new Set(answer)])
      }
    }),
  )
})
