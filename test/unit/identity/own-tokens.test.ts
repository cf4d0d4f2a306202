import { expect, test } from "vitest"
import { createDevTokens, mintDevToken } from "../../../src/identity/own-tokens.ts"

const key = Buffer.alloc(32, 1)

const verified = async (claims: Readonly<Record<string, unknown>>) => {
  const token = await mintDevToken(key, { subject: "alice", claims, for: ["mcp"], ttlSeconds: 60 })
  const found = await createDevTokens(key)(token)
  if (found === undefined || !("identity" in found)) throw new Error("the token is not accepted")
  return found.identity
}

test("a dev token carries claims of any JSON type as they are", async () => {
  const claims = { beta: true, level: 3, tags: ["a"], org: { tenant: "acme" }, nothing: null }
  expect((await verified(claims)).claims).toMatchObject(claims)
})

test("a dev token's mail address is the identity's, unless the token says that nobody verified it", async () => {
  const email = "alice@corp.example"
  expect((await verified({ email })).email).toBe(email)
  expect((await verified({ email, email_verified: true })).email).toBe(email)
  for (const doubt of [false, "false", "true", null]) {
    expect((await verified({ email, email_verified: doubt })).email).toBeUndefined()
  }
  expect(await verified({})).not.toHaveProperty("email")
})
