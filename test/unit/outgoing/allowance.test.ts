import { describe, expect, test } from "vitest"
import { createAllowance, plainHost } from "../../../src/outgoing/allowance.ts"
import { carried } from "./ranges.ts"

const hosts = (...allow_hosts: string[]) => createAllowance({ allow_networks: [], allow_hosts })
const networks = (...allow_networks: string[]) => createAllowance({ allow_networks, allow_hosts: [] })

describe("a host is allowed", () => {
  test.each([
    ["mcp.corp.example", "mcp.corp.example", 443],
    ["mcp.corp.example", "MCP.corp.example.", 8443],
    ["MCP.corp.example", "mcp.corp.example", 1],
    ["mcp.corp.example:8443", "mcp.corp.example", 8443],
    ["*.corp.example", "a.corp.example", 443],
    ["*.corp.example", "a.b.corp.example", 443],
    ["*.corp.example:8443", "a.corp.example", 8443],
    ["bücher.example", "xn--bcher-kva.example", 443],
    ["10.0.0.7", "10.0.0.7", 443],
    ["0x0a.7", "10.0.0.7", 443],
    ["[fd00::7]:8443", "fd00::7", 8443],
    ["[fd00:0::7]", "[fd00::7]", 443],
  ])("by %s: %s at %d", (entry, host, port) => {
    expect(hosts("other.example", entry).hasHost(host, port)).toBe(true)
  })
})

describe("a host is not allowed", () => {
  test.each([
    ["mcp.corp.example", "corp.example", 443],
    ["mcp.corp.example", "a.mcp.corp.example", 443],
    ["mcp.corp.example:8443", "mcp.corp.example", 443],
    ["*.corp.example", "corp.example", 443],
    ["*.corp.example", "evilcorp.example", 443],
    ["*.corp.example", "corp.example.evil.example", 443],
    ["*.corp.example:8443", "a.corp.example", 443],
    ["*.0.0.1", "127.0.0.1", 443],
    ["[fd00::7]:8443", "fd00::7", 443],
    ["*.a", `${"a.".repeat(127)}a`, 443],
  ])("by %s: %s at %d", (entry, host, port) => {
    expect(hosts(entry).hasHost(host, port)).toBe(false)
  })
  test("by an empty list", () => {
    expect(hosts().hasHost("mcp.corp.example", 443)).toBe(false)
  })
})

test("a host that is listed with several ports is allowed at each, and without a port at all", () => {
  const two = hosts("a.example:1", "a.example:2")
  expect([1, 2, 3].map((port) => two.hasHost("a.example", port))).toEqual([true, true, false])
  const all = hosts("a.example:1", "a.example")
  expect([1, 3].map((port) => all.hasHost("a.example", port))).toEqual([true, true])
})

describe("an address is allowed", () => {
  test("by its network, in every spelling that carries it", () => {
    const allowance = networks("fd00::/8", "10.0.0.0/24")
    for (const address of ["10.0.0.7", ...carried("10.0.0.7"), "fd12::1"])
      expect(allowance.hasAddress(address), address).toBe(true)
    for (const address of ["10.0.1.7", ...carried("10.0.1.7"), "fc00::1"])
      expect(allowance.hasAddress(address), address).toBe(false)
  })
  test("by IPv4 inside, not by the IPv6 network around it", () => {
    expect(networks("64:ff9b::/96", "2002::/16").hasAddress("64:ff9b::10.0.0.7")).toBe(false)
  })
  test("never with a zone, and never as a name", () => {
    expect(networks("::/0").hasAddress("fe80::1%eth0")).toBe(false)
    expect(networks("::/0", "0.0.0.0/0").hasAddress("localhost")).toBe(false)
  })
})

test.each([
  ["[::1]", "::1"],
  ["LOCALHOST.", "localhost"],
  ["a.example", "a.example"],
  ["[::1", "[::1"],
])("the plain form of %s is %s", (host, plain) => {
  expect(plainHost(host)).toBe(plain)
})
