import { expect, test } from "vitest"
import { ownerOf } from "../../../src/identity/identity.ts"
import { identity } from "../../support/build/who.ts"

test("an owner is source, issuer and subject together: equal subjects of two issuers are two owners", () => {
  const all = [
    identity({ source: "jwt", issuer: "corp", subject: "alice" }),
    identity({ source: "jwt", issuer: "partner", subject: "alice" }),
    identity({ source: "token", issuer: "corp", subject: "alice" }),
    identity({ source: "jwt", issuer: "corp", subject: "partner/alice" }),
    identity({ source: "jwt", issuer: "corp", subject: "" }),
  ]
  expect(new Set(all.map(ownerOf)).size).toBe(all.length)
})

test("what else a token says of its owner changes nothing", () => {
  const who = { source: "jwt", issuer: "corp", subject: "alice" } as const
  expect(ownerOf(identity({ ...who, email: "a@example.com", roles: ["admin"] }))).toBe(ownerOf(identity(who)))
})
