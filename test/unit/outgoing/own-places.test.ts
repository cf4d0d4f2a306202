import { describe, expect, test } from "vitest"
import { createOutgoingGuard, type Resolve } from "../../../src/outgoing/guard.ts"
import { found, inURL, urlFault } from "./guard-of.ts"
import { carried } from "./ranges.ts"

/** Everything is allowed that can be. */
const open = { allow_http: true, allow_networks: ["0.0.0.0/0", "::/0"], allow_hosts: ["*.example", "10.0.0.7"] }
const metadata = ["169.254.169.254", "100.100.100.200", "168.63.129.16", "192.0.0.192"]

describe("whatever is allowed", () => {
  test.each([
    ...metadata.flatMap((each) => [each, ...carried(each), `::${each}`, `::ffff:0:${each}`]),
    "fd00:ec2::254",
  ])("the metadata service at %s stays closed", async (address) => {
    for (const port of [80, 443, 9_999]) {
      expect(await found(open, address, port)).toContain("a metadata service")
      expect(await found({ ...open, names: { "a.example": [address] } }, "a.example", port)).toContain("metadata")
    }
  })
  test("the address of the API server stays closed, at its port", async () => {
    const given = {
      ...open,
      closed: [{ host: "10.96.0.1", port: 443 }],
      names: { "a.example": ["8.8.8.8", "10.96.0.1"] },
    }
    for (const host of ["10.96.0.1", ...carried("10.96.0.1"), "a.example"])
      expect(await found(given, host), host).toContain("where this program or its API server listens")
    expect(await found(given, "a.example", 8443)).toEqual(["8.8.8.8", "10.96.0.1"])
    for (const host of inURL("10.96.0.1")) expect(urlFault(given, `https://${host}`), host).toContain("API server")
  })
  test("the name of the API server stays closed, and so do other names of its addresses", async () => {
    const names = { "api.example": ["52.0.0.1", "52.0.0.2"], "b.example": ["52.0.0.2"], "c.example": ["52.0.0.3"] }
    const given = { ...open, closed: [{ host: "API.example", port: 6443 }], names }
    expect(await found(given, "api.example.", 6443)).toContain("api.example is where")
    expect(await found(given, "b.example", 6443)).toContain("b.example resolves to an address that is where")
    expect(await found(given, "52.0.0.1", 6443)).toContain("where this program")
    expect(await found(given, "c.example", 6443)).toEqual(["52.0.0.3"])
    expect(await found(given, "b.example", 443)).toEqual(["52.0.0.2"])
  })
  test("an API server whose name does not exist closes nothing, and one whose name nobody tells closes its port", async () => {
    const closed = [{ host: "api.internal", port: 443 }]
    expect(await found({ ...open, closed, names: { "a.example": ["8.8.8.8"] } }, "a.example")).toEqual(["8.8.8.8"])
    const resolve: Resolve = async (name) => {
      if (name === "api.internal") throw Object.assign(new Error("EAI_AGAIN"), { code: "EAI_AGAIN" })
      return [{ address: "8.8.8.8", family: 4 }]
    }
    const guard = createOutgoingGuard({ options: open, closed: () => closed, resolve })
    await expect(guard.lookup("a.example", 443)).rejects.toThrow("The name api.internal cannot be resolved.")
  })
  test.each(["0.0.0.0", "::", "[::]", ""])(
    "our port stays closed at every address of this machine, if we listen at %j",
    async (host) => {
      const given = { ...open, closed: [{ host, port: 8080 }], names: { "a.example": ["10.9.9.9"] } }
      for (const address of [
        "127.0.0.1",
        "127.9.9.9",
        "::1",
        "0.0.0.0",
        "::",
        "10.9.9.9",
        ...carried("10.9.9.9"),
        "a.example",
      ]) {
        expect(await found(given, address, 8080), address).toContain("where this program")
        expect(await found(given, address, 8081), address).not.toContain("where this program")
      }
      expect(await found(given, "10.9.9.8", 8080)).toEqual(["10.9.9.8"])
    },
  )
  test("our port stays closed at the one address at which we listen, which the unspecified one reaches too", async () => {
    const given = { ...open, closed: [{ host: "127.0.0.1", port: 8080 }] }
    for (const address of ["127.0.0.1", ...carried("127.0.0.1"), "0.0.0.0", "::"])
      expect(await found(given, address, 8080), address).toContain("where this program")
    expect(await found(given, "127.0.0.2", 8080)).toEqual(["127.0.0.2"])
  })
  test("a port that is known late is closed as soon as it is known", async () => {
    const places: { host: string; port: number }[] = []
    const guard = createOutgoingGuard({ options: open, closed: () => places })
    expect(await guard.lookup("127.0.0.1", 8080)).toHaveLength(1)
    places.push({ host: "127.0.0.1", port: 8080 })
    await expect(guard.lookup("127.0.0.1", 8080)).rejects.toThrow("where this program")
  })
})
