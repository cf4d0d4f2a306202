import { expect, test } from "vitest"
import { atExpiry } from "../../../src/gateway/policy.ts"
import { fakeClock } from "../../support/fake-clock.ts"

const day = 24 * 3_600_000
const alice = {
  source: "jwt",
  issuer: "corp",
  subject: "alice",
  groups: [],
  roles: [],
  scopes: [],
  claims: {},
} as const

test("the end comes with the expiry, also where that is further away than a timer of the runtime reaches", async () => {
  const clock = fakeClock()
  const ended: string[] = []
  atExpiry(clock, { ...alice, expiresAtMs: clock.now() + 60 * day }, ({ code }) => ended.push(code))
  await clock.advance(60 * day - 1)
  expect(ended).toEqual([])
  await clock.advance(1)
  expect(ended).toEqual(["Unauthenticated"])
})

test("a token that has expired meanwhile ends at once, one without an expiry never, and one that is taken back neither", async () => {
  const clock = fakeClock()
  const ended: string[] = []
  atExpiry(clock, { ...alice, expiresAtMs: clock.now() }, () => ended.push("expired"))
  atExpiry(clock, alice, () => ended.push("endless"))
  const keep = atExpiry(clock, { ...alice, expiresAtMs: clock.now() + day }, () => ended.push("kept"))
  keep()
  await clock.advance(10 * day)
  expect(ended).toEqual(["expired"])
})
