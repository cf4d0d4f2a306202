import { describe, expect, test } from "vitest"
import type { MCPTargetSpec } from "../../../src/api/kinds/mcp-target.ts"
import {
  type Holder,
  instancesOf,
  maxScopesOfOneKind,
  scopeNames,
  scopesAllowed,
  scopesOf,
} from "../../../src/credentials/scopes.ts"
import { instance } from "../../support/build/placed.ts"
import { target } from "../../support/build/who.ts"

const alice: Holder = {
  subjectKey: "user:a",
  issuer: "corp",
  subject: "alice",
  groups: ["eng", "ops"],
  roles: ["dev", "oncall"],
}

const applied = (spec: Partial<MCPTargetSpec>, holder: Holder = alice): string[] =>
  scopesOf(target(spec), holder).map(({ scope, who }) =>
    who === undefined ? scope : `${scope} ${who.issuer}/${who.name}`,
  )

describe("scopes of credentials", () => {
  test("a shared instance takes only the default values", () => {
    expect(applied({ isolationBoundary: "shared" })).toEqual(["default"])
  })

  test("an instance per role takes the default and its own role's values, never another role's or a user's", () => {
    expect(applied({ isolationBoundary: "per_role" }, { ...alice, shared: "dev" })).toEqual([
      "default",
      "role corp/dev",
    ])
  })

  test("an instance per group takes the default and its own group's values", () => {
    expect(applied({ isolationBoundary: "per_group" }, { ...alice, shared: "ops" })).toEqual([
      "default",
      "group corp/ops",
    ])
  })

  test("an instance per user takes all, from the weakest to the strongest", () => {
    expect(applied({})).toEqual([
      "default",
      "role corp/oncall",
      "role corp/dev",
      "group corp/ops",
      "group corp/eng",
      "user corp/alice",
    ])
  })

  test("of several groups the first of the access list is the strongest, bare or with its issuer", () => {
    const groups = (access: string[]) =>
      applied({ access: { groups: access } }).filter((scope) => scope.startsWith("group"))
    expect(groups(["ops", "eng"])).toEqual(["group corp/eng", "group corp/ops"])
    expect(groups(["corp/ops"])).toEqual(["group corp/eng", "group corp/ops"])
    expect(groups(["eng", "ops"])).toEqual(["group corp/ops", "group corp/eng"])
  })

  test("the order of a token's claims does not matter", () => {
    const turned = { ...alice, groups: [...alice.groups].reverse(), roles: [...alice.roles].reverse() }
    expect(applied({}, turned)).toEqual(applied({}))
  })

  test("a target with a strategy of its own takes only the default values", () => {
    expect(applied({ subjectKey: { strategy: "tenant" } })).toEqual(["default"])
  })

  test("scopes that would be narrower than the boundary are not allowed", () => {
    expect(scopesAllowed(target({ isolationBoundary: "shared" }))).toEqual(["default"])
    expect(scopesAllowed(target({ isolationBoundary: "per_role" }))).toEqual(["default", "role"])
    expect(scopesAllowed(target({ isolationBoundary: "per_group" }))).toEqual(["default", "group"])
    expect(scopesAllowed(target())).toEqual(["default", "role", "group", "user"])
    expect(scopesAllowed(target({ subjectKey: { strategy: "tenant" } }))).toEqual(["default"])
  })

  test("equal subjects of two issuers have different Secrets", () => {
    const names = (issuer: string) => scopeNames(target(), scopesOf(target(), { ...alice, issuer }))
    expect(names("corp").at(-1)).not.toBe(names("partner").at(-1))
  })

  test("an identity with very many groups is looked at as far as the bound, those of the access list first", () => {
    const groups = Array.from({ length: 500 }, (_, index) => `g${index}`)
    const found = applied({ access: { groups: ["g499"] } }, { ...alice, groups }).filter((scope) =>
      scope.startsWith("group"),
    )
    expect(found).toHaveLength(maxScopesOfOneKind)
    expect(found.at(-1)).toBe("group corp/g499")
  })

  test("a changed scope concerns exactly the instances that record its Secret", () => {
    const records = (name: string, scopes: string) => instance({ name, scopes })
    const [a, b, c] = [
      records("a", "t-env-default,t-env-user-x"),
      records("b", "t-env-default"),
      instance({ name: "c" }),
    ]
    expect(instancesOf("t-env-default", [a, b, c])).toEqual([a, b])
    expect(instancesOf("t-env-user-x", [a, b, c])).toEqual([a])
    expect(instancesOf("t-env", [a, b, c])).toEqual([])
  })
})
