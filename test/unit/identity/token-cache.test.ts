import { expect, test } from "vitest"
import { createTokenCache } from "../../../src/identity/authenticate.ts"
import type { VerifiedToken } from "../../../src/identity/identity.ts"
import { fakeClock } from "../../support/fake-clock.ts"

const verified: VerifiedToken = {
  identity: { source: "jwt", issuer: "dev", subject: "a", groups: [], roles: [], scopes: [], claims: {} },
  opens: { by: "purpose", purposes: new Set(["mcp"]) },
}

test("a full cache forgets the token that was checked longest ago", () => {
  const cache = createTokenCache(fakeClock(), 2)
  for (const key of ["a", "b", "a", "c"]) cache.set(key, verified)
  expect(["a", "b", "c"].filter((key) => cache.get(key) !== undefined)).toEqual(["a", "c"])
  expect(cache.size).toBe(2)
})

test("a token is forgotten after five minutes, and when the clock was set back", () => {
  const clock = fakeClock()
  const cache = createTokenCache(clock)
  cache.set("a", verified)
  clock.skew(5 * 60_000 - 1)
  expect(cache.get("a")).toBe(verified)
  clock.skew(1)
  expect(cache.get("a")).toBeUndefined()
  cache.set("a", verified)
  clock.skew(-1)
  expect(cache.get("a")).toBeUndefined()
  expect(cache.size).toBe(0)
})
