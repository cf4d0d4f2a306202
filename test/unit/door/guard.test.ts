import type { IncomingMessage } from "node:http"
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { createGuard, type GuardOptions, isNormalPath } from "../../../src/door/guard.ts"
import { isAppError } from "../../../src/errors.ts"

const options: GuardOptions = {
  publicUrl: "https://mcp.example.com",
  allowedHosts: ["gateway.internal", "other:8443"],
  allowedOrigins: ["https://app.example"],
  loopback: false,
}

const verdict = (host: string | undefined, origin?: string, over: Partial<GuardOptions> = {}): string => {
  const rawHeaders = host === undefined ? [] : ["Host", host]
  const request = { url: "/mcp/demo", rawHeaders, headers: { ...(origin === undefined ? {} : { origin }) } }
  try {
    createGuard({ ...options, ...over }).check(request as unknown as IncomingMessage)
    return "in"
  } catch (error) {
    return isAppError(error) ? error.code : String(error)
  }
}

describe("the Host header", () => {
  test.each([
    ["mcp.example.com", "in"],
    ["MCP.example.com:443", "in"],
    ["mcp.example.com:8080", "HostNotAllowed"],
    ["gateway.internal", "in"],
    ["gateway.internal:8080", "in"],
    ["other:8443", "in"],
    ["other", "HostNotAllowed"],
    ["localhost:8080", "HostNotAllowed"],
    ["mcp.example.com.evil", "HostNotAllowed"],
    ["", "BadHost"],
  ])("%s: %s", (host, expected) => {
    expect(verdict(host)).toBe(expected)
  })

  test("may name this machine while only this machine can connect", () => {
    for (const host of ["localhost:1", "127.0.0.1:8080", "[::1]:8080"])
      expect(verdict(host, undefined, { loopback: true })).toBe("in")
    expect(verdict("localhost.evil", undefined, { loopback: true })).toBe("HostNotAllowed")
  })
})

test("every Host is accepted where no name is configured, but no Origin of elsewhere", () => {
  const over = { anyHost: true }
  for (const host of ["reflow-gateway.reflow-system", "10.96.0.12", "evil.example"])
    expect(verdict(host, undefined, over)).toBe("in")
  expect(verdict("", undefined, over)).toBe("BadHost")
  expect(verdict("evil.example", "http://evil.example", over)).toBe("OriginNotAllowed")
})

describe("the Origin header", () => {
  test.each([
    [undefined, "in"],
    ["https://mcp.example.com", "in"],
    ["https://app.example", "in"],
    ["http://app.example", "OriginNotAllowed"],
    ["https://app.example.evil", "OriginNotAllowed"],
    ["null", "OriginNotAllowed"],
    ["http://localhost:3000", "OriginNotAllowed"],
  ])("%s: %s", (origin, expected) => {
    expect(verdict("mcp.example.com", origin)).toBe(expected)
  })

  test("may be a page of this machine while only this machine can connect", () => {
    expect(verdict("localhost", "http://localhost:6274", { loopback: true })).toBe("in")
  })
})

describe("a path", () => {
  test.each([
    ["/mcp/demo", true],
    ["/mcp/demo?a=//..", true],
    ["/api/targets/x/env/user/alice%20smith", true],
    ["/api/targets/x/env/user/alice@example.com", true],
    ["/api/targets/x/env/group/kc/%2Feng%2Fteam", true],
    ["/api/targets/x/env/group/kc%2Feng", true],
    ["/api/targets/x/env/group/kc%2F..%2Fdefault", false],
    ["/api/targets/x/env/group/kc%2F.", false],
    ["/api/targets/x/env/group%2Fkc/eng", false],
    ["/api/targets/x%2Frestart-instances", false],
    ["/", true],
    ["", false],
    ["*", false],
    ["http://localhost/mcp/demo", false],
    ["/mcp//demo", false],
    ["//evil/mcp", false],
    ["/mcp/./demo", false],
    ["/mcp/../api", false],
    ["/mcp/..", false],
    ["/mcp/%2e%2e/api", false],
    ["/mcp%2Fdemo", false],
    ["/mcp/a%5Cb", false],
    ["/mcp/a\\b", false],
    ["/mcp/a%00", false],
    ["/mcp/%zz", false],
    ["/mcp/%c3%28", false],
  ])("%s in its normal form: %s", (url, expected) => {
    expect(isNormalPath(url)).toBe(expected)
  })

  test("that is let in means one thing to every router", () => {
    const piece = fc.constantFrom("/", ".", "..", "%2e", "%2F", "a", "mcp", "%41", "\\", "?", "%", ";", "é", " ")
    fc.assert(
      fc.property(fc.array(piece), (pieces) => {
        const url = `/${pieces.join("")}`
        if (!isNormalPath(url)) return
        const [path = ""] = url.split("?")
        expect(new URL(url, "http://x").pathname).toBe(path)
        expect(decodeURIComponent(path).split("/")).toHaveLength(path.split("/").length)
        expect(decodeURIComponent(path).split("/")).not.toContain("..")
      }),
      { numRuns: 3_000 },
    )
  })
})
