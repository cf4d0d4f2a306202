import { describe, expect, test } from "vitest"
import { createProtectedResources } from "../../../src/identity/protected-resources.ts"

const publicUrl = "https://mcp.example.com"
const issuer = "https://login.example.com"
const resources = createProtectedResources({ publicUrl, issuers: [{ issuer, scopes: [] }] })

describe("protected resource metadata", () => {
  test.each(["", "/api", "/mcp/github"])("of '%s' names the resource and who issues its tokens", (path) => {
    expect(resources.metadata(path)).toMatchObject({ resource: `${publicUrl}${path}`, authorization_servers: [issuer] })
    expect(resources.url(path)).toBe(`${publicUrl}/.well-known/oauth-protected-resource${path}`)
  })
  test("is the same for every well-formed name, so that it tells nobody which targets exist", () => {
    const { resource, ...rest } = resources.metadata("/mcp/github") ?? {}
    expect(resources.metadata("/mcp/does-not-exist")).toEqual({ resource: `${publicUrl}/mcp/does-not-exist`, ...rest })
  })
  test.each([
    "/mcp",
    "/mcp/",
    "/mcp/A",
    '/mcp/a"b',
    "/mcp/a/b",
    "/mcp/a%22",
    `/mcp/${"a".repeat(41)}`,
    "/other",
    "/api/targets",
  ])("is nowhere for %j", (path) => {
    expect(resources.metadata(path)).toBeUndefined()
    expect(resources.url(path)).toBeUndefined()
  })
  test("tells the scopes of the issuers, the same ones for every resource, and so does the challenge", () => {
    const asking = createProtectedResources({
      publicUrl,
      issuers: [
        { issuer, scopes: ["mcp", "repo:read"] },
        { issuer: "https://other.example.com", scopes: ["mcp"] },
      ],
    })
    for (const path of ["/mcp/github", "/mcp/does-not-exist", "/api"]) {
      const where = `${publicUrl}/.well-known/oauth-protected-resource${path}`
      expect(asking.metadata(path)?.scopes_supported).toEqual(["mcp", "repo:read"])
      expect(asking.challenge(path)).toBe(`scope="mcp repo:read", resource_metadata="${where}"`)
    }
    expect(resources.metadata("/mcp/github")).not.toHaveProperty("scopes_supported")
    expect(resources.challenge("/other")).toBeUndefined()
  })
  test("is nowhere without issuers", () => {
    expect(createProtectedResources({ publicUrl, issuers: [] }).metadata("")).toBeUndefined()
  })
})
