import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { identityHeaders } from "../../../../src/gateway/wire/call-server.ts"
import type { Identity } from "../../../../src/identity/identity.ts"

const identity: Identity = {
  source: "jwt",
  issuer: "corp",
  subject: "alice",
  email: "alice@example.com",
  groups: ["/eng", "a,b"],
  roles: [],
  scopes: [],
  claims: {},
}
const headersOf = (change: Partial<Identity> = {}): Record<string, string> => {
  const list = identityHeaders({ ...identity, ...change })
  return Object.fromEntries(list.flatMap((name, at) => (at % 2 === 0 ? [[name, list[at + 1] ?? ""]] : [])))
}

describe("the headers that tell a server who is calling", () => {
  test("name issuer and subject, mail address, groups and roles", () => {
    expect(headersOf()).toEqual({
      "x-reflow-issuer": "corp",
      "x-reflow-subject": "alice",
      "x-reflow-email": "alice@example.com",
      "x-reflow-groups": "/eng,a%2Cb",
      "x-reflow-roles": "",
    })
  })
  test("can be read back, whatever the names are, and never end a header or a list's entry", () => {
    const name = fc.string({ unit: "grapheme", maxLength: 40 }).filter((text) => text.isWellFormed() && text !== "")
    fc.assert(
      fc.property(name, fc.array(name, { maxLength: 5 }), (subject, groups) => {
        const headers = headersOf({ subject, groups })
        for (const value of Object.values(headers)) expect(value).toMatch(/^[\x21-\x7e]*$/)
        expect(decodeURIComponent(headers["x-reflow-subject"] ?? "")).toBe(subject)
        const read = (headers["x-reflow-groups"] ?? "").split(",").map(decodeURIComponent)
        expect(read).toEqual(groups.length === 0 ? [""] : groups)
      }),
    )
  })
  test("stay bounded, cut between two entries", () => {
    const groups = Array.from({ length: 2_000 }, (_, index) => `group-${index}`)
    const value = headersOf({ groups })["x-reflow-groups"] ?? ""
    expect(value.length).toBeLessThanOrEqual(4_096)
    expect(groups).toContain(value.split(",").at(-1))
  })
})
