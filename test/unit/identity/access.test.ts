import { describe, expect, test } from "vitest"
import type { MCPTarget } from "../../../src/api/kinds/mcp-target.ts"
import { configSchema } from "../../../src/config/schema.ts"
import { configuredIssuers, createAccess } from "../../../src/identity/access.ts"
import { identity, target } from "../../support/build/who.ts"

const judge = (issuers: string[], adminRoles: string[] = ["admin"]) => createAccess({ issuers, adminRoles })
const withAccess = (access: MCPTarget["spec"]["access"]) => target({ access })
const alice = identity({ issuer: "corp", subject: "alice", groups: ["eng"], roles: ["dev"] })

describe("a target's access list", () => {
  test.each([undefined, {}, { users: [] }, { users: [], groups: [], roles: [] }])(
    "of %j lets every identity in",
    (access) => {
      expect(judge(["corp", "other"]).mayUse(withAccess(access), alice)).toBe(true)
    },
  )
  test.each([
    [{ users: ["corp/alice"] }, true],
    [{ groups: ["corp/eng"] }, true],
    [{ roles: ["x", "corp/dev"] }, true],
    [{ users: ["corp/bob"], groups: ["corp/eng"] }, true],
    [{ users: ["other/alice"] }, false],
    [{ users: ["corp/eng"] }, false],
    [{ groups: ["corp/alice"] }, false],
    [{ users: ["alice"] }, false],
    [{ groups: ["eng"], roles: ["dev"] }, false],
  ])("of %j answers %s while two issuers are configured", (access, expected) => {
    expect(judge(["corp", "other"]).mayUse(withAccess(access), alice)).toBe(expected)
  })
  test("takes bare values while one issuer is configured", () => {
    expect(judge(["corp"]).mayUse(withAccess({ users: ["alice"] }), alice)).toBe(true)
    expect(
      judge(["corp"]).mayUse(withAccess({ groups: ["eng/platform"] }), { ...alice, groups: ["eng/platform"] }),
    ).toBe(true)
    expect(judge(["other"]).mayUse(withAccess({ users: ["alice"] }), alice)).toBe(false)
  })
  test("is not deceived by a subject that looks like another issuer's or another user's entry", () => {
    const hostile = identity({ issuer: "corp", subject: "corp/alice" })
    expect(judge(["corp"]).mayUse(withAccess({ users: ["corp/alice"] }), hostile)).toBe(false)
    const slash = identity({ issuer: "corp", subject: "other/alice" })
    expect(judge(["corp", "other"]).mayUse(withAccess({ users: ["other/alice"] }), slash)).toBe(false)
  })
})

describe("an administrator", () => {
  test.each([
    ["corp", ["corp"], ["admin"], true],
    ["corp", ["corp", "static"], ["admin"], false],
    ["corp", ["corp", "static"], ["corp/admin"], true],
    ["other", ["corp", "other"], ["corp/admin"], false],
    ["static", ["corp", "static"], ["admin"], true],
    ["dev", ["dev", "static"], ["admin"], true],
    ["corp", ["corp"], [], false],
  ])("of issuer %s, with %j configured and admin roles %j: %s", (issuer, issuers, adminRoles, expected) => {
    expect(judge(issuers, adminRoles).isAdmin(identity({ issuer, roles: ["admin"] }))).toBe(expected)
  })
})

test("a credential that was not made to administer does not, whatever the roles say", () => {
  const admin = identity({ issuer: "corp", roles: ["admin"] })
  expect(judge(["corp"], ["corp/admin"]).isAdmin(admin)).toBe(true)
  for (const issuer of ["corp", "dev", "static"])
    expect(judge(["corp"], ["admin", "corp/admin"]).isAdmin({ ...admin, issuer, administers: false })).toBe(false)
})

test("static and dev tokens count as issuers", () => {
  const { auth } = configSchema.parse({
    auth: {
      issuers: [{ name: "corp", issuer: "https://corp.example" }],
      tokens: [{ name: "ci", sha256: "0".repeat(64), subject: "ci" }],
    },
  })
  expect(configuredIssuers(auth, { dev: true })).toEqual(["dev", "static", "corp"])
  expect(configuredIssuers({ issuers: [], tokens: [] }, { dev: false })).toEqual([])
})
