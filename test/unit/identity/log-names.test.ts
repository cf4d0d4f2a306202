import { describe, expect, test } from "vitest"
import type { Identity } from "../../../src/identity/identity.ts"
import { createLogNames, sharerKey, sharerNamed, subjectDigest } from "../../../src/identity/subject-key.ts"

const alice: Identity = {
  source: "jwt",
  issuer: "corp",
  subject: "alice",
  groups: [],
  roles: [],
  scopes: [],
  claims: { email: "claim@example.com" },
}

describe("by digest", () => {
  const names = createLogNames("digest")
  test("a caller is named by the digest alone, whatever is known of them", () => {
    expect(names.caller({ ...alice, email: "alice@example.com" })).toEqual({ subject: subjectDigest(alice) })
  })
  test("an owner of values by the digest that their subject key has, so that a user's is the one of their own lines", () => {
    expect(names.owner(sharerNamed("user", { issuer: "corp", name: "alice" }))).toBe(subjectDigest(alice))
    const eng = sharerNamed("group", { issuer: "corp", name: "eng" })
    expect(`group:${names.owner(eng)}`).toBe(sharerKey(eng))
  })
})

describe("by name", () => {
  const names = createLogNames("name")
  test("a caller is issuer/subject, with the verified mail address where there is one", () => {
    expect(names.caller(alice)).toEqual({ subject: "corp/alice" })
    const known = { ...alice, email: "alice@example.com" }
    expect(names.caller(known)).toEqual({ subject: "corp/alice", email: "alice@example.com" })
  })
  test("an owner of values is issuer/name", () => {
    expect(names.owner(sharerNamed("role", { issuer: "corp", name: "a/b" }))).toBe("corp/a/b")
  })
  test("nothing that somebody calls themselves can break a line, mislead a reader or be long", () => {
    const hostile = `a\n\u001b[31m\u202e\u2028${"x".repeat(2_000)}`
    const { subject, email = "" } = names.caller({ ...alice, subject: hostile, email: hostile })
    for (const text of [subject, email, names.owner(sharerNamed("user", { issuer: "corp", name: hostile }))]) {
      expect([...text]).toHaveLength(256)
      expect(text).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u)
      expect(text).toContain("x".repeat(200))
    }
  })
})

test("a caller of one token is named once", () => {
  for (const names of [createLogNames("digest"), createLogNames("name")])
    expect(names.caller(alice)).toBe(names.caller(alice))
})
