import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { instanceName } from "../../../src/api/names.ts"
import { isAppError } from "../../../src/errors.ts"
import {
  readableSubject,
  type SubjectKeyOptions,
  sharerKey,
  sharerNamed,
  sharerOf,
  subjectDigest,
  subjectKeyFor,
} from "../../../src/identity/subject-key.ts"
import { identity, target } from "../../support/build/who.ts"

const issuers = ["corp", "other"]
const keyOf = (
  of: ReturnType<typeof target>,
  who: ReturnType<typeof identity>,
  more: Partial<SubjectKeyOptions> = {},
) => subjectKeyFor(of, who, { issuers, ...more })
const denial = (run: () => unknown): string => {
  try {
    run()
  } catch (error) {
    if (isAppError(error) && error.code === "SubjectKeyDenied") return error.message
  }
  throw new Error("was not denied")
}
const spec = { isolationBoundary: "per_group" } as const

describe("the subject key", () => {
  test("of a shared target is the same for everyone", () => {
    const shared = target({ isolationBoundary: "shared" })
    expect(keyOf(shared, identity())).toBe("shared")
    expect(keyOf(shared, identity({ subject: "bob" }))).toBe("shared")
  })
  test("of a per-user target is the user's digest, which logs show too", () => {
    expect(keyOf(target(), identity())).toMatch(/^user:[a-z2-7]{26}$/)
    expect(keyOf(target(), identity())).toBe(`user:${subjectDigest(identity())}`)
  })
  test("keeps equal subjects of two issuers, and of a static token and an issuer, apart", () => {
    const keys = [
      identity(),
      identity({ issuer: "other" }),
      identity({ issuer: "static" }),
      identity({ issuer: "dev" }),
    ].map((who) => keyOf(target(), who))
    expect(new Set(keys).size).toBe(4)
    expect(new Set([keyOf(target(), identity()), keyOf(target(), identity({ source: "token" }))]).size).toBe(2)
  })
  test("keeps a user, a role and a group of one name apart", () => {
    const who = identity({ subject: "x", roles: ["x"], groups: ["x"] })
    const keys = (["per_user", "per_role", "per_group"] as const).map((isolationBoundary) =>
      keyOf(target({ isolationBoundary }), who),
    )
    expect(new Set(keys).size).toBe(3)
  })
  test("does not depend on roles, groups or claims of a per-user target", () => {
    const before = keyOf(target(), identity())
    expect(keyOf(target(), identity({ roles: ["a"], groups: ["b"], claims: { c: 1 }, email: "d" }))).toBe(before)
  })
})

describe("with several groups, the subject key", () => {
  const who = identity({ groups: ["ops", "eng", "all"] })
  test("is that of the first entry of the access list that matches, not of the first group", () => {
    const of = target({ ...spec, access: { groups: ["corp/unknown", "corp/all", "corp/eng"] } })
    expect(sharerOf(of, who, issuers)).toEqual({ kind: "group", source: "jwt", issuer: "corp", name: "all" })
  })
  test("is that of the claim's first group where the list names none of them", () => {
    for (const access of [undefined, { users: ["corp/alice"] }, { groups: ["eng", "other/all"] }])
      expect(sharerOf(target({ ...spec, access }), who, issuers)).toMatchObject({ name: "ops" })
  })
  test("takes bare entries while one issuer is configured", () => {
    expect(sharerOf(target({ ...spec, access: { groups: ["eng"] } }), who, ["corp"])).toMatchObject({ name: "eng" })
  })
  test("is shared by all who have the chosen group, whatever else they have", () => {
    const of = target({ ...spec, access: { groups: ["corp/eng"] } })
    expect(keyOf(of, who)).toBe(keyOf(of, identity({ subject: "bob", groups: ["eng"] })))
  })
})

describe("a missing claim", () => {
  test("denies and is named", () => {
    expect(denial(() => keyOf(target({ isolationBoundary: "per_role" }), identity()))).toContain("no roles")
    expect(denial(() => keyOf(target(spec), identity({ groups: [""] })))).toContain("no groups")
    expect(denial(() => keyOf(target(), identity({ subject: "" })))).toContain("no subject")
  })
})

describe("a target with a strategy of its own", () => {
  const own = target({ subjectKey: { strategy: "tenant/claim" } })
  test("is denied while no plugin offers it", () => {
    expect(denial(() => keyOf(own, identity()))).toContain("tenant/claim")
  })
  test("has the digest of what the strategy returns, at once or later", async () => {
    const key = keyOf(own, identity(), { strategies: () => "acme" })
    expect(key).toMatch(/^tenant\/claim:[a-z2-7]{26}$/)
    expect(await keyOf(own, identity(), { strategies: async () => "acme" })).toBe(key)
    expect(keyOf(own, identity(), { strategies: () => "other" })).not.toBe(key)
  })
  test.each([undefined, ""])("is denied where the strategy returns %j", async (value) => {
    expect(denial(() => keyOf(own, identity(), { strategies: () => value }))).toContain("gave no key")
    await expect(keyOf(own, identity(), { strategies: async () => value })).rejects.toMatchObject({
      code: "SubjectKeyDenied",
    })
  })
})

const hostile = fc.oneof(
  fc.string({ unit: "binary", minLength: 1, maxLength: 60 }),
  fc.constantFrom("a", "A", "a\0b", "a/b", "../..", "名前 🦊", "x".repeat(2_000), "shared", "user:a", "a,b", "\uD800"),
  fc.tuple(fc.constantFrom("corp", "other"), fc.string()).map((parts) => parts.join("\0")),
)
/** Whoever a door lets in: half a surrogate pair is nobody's subject. */
const someone = fc.record({
  issuer: fc.constantFrom("corp", "other", "static", "dev"),
  subject: hostile.filter((text) => text.isWellFormed()),
})

test("whatever a subject holds, its key is valid, and another subject's is another", () => {
  fc.assert(
    fc.property(someone, someone, (one, two) => {
      const [first, second] = [one, two].map((who) => keyOf(target(), identity(who)))
      expect(first).toMatch(/^user:[a-z2-7]{26}$/)
      const same = one.issuer === two.issuer && one.subject === two.subject
      expect(first === second).toBe(same)
      const names = [first, second].map((key) => instanceName("github", "uid", String(key)))
      expect(names[0]).toMatch(/^github-user-[a-z2-7]{15}$/)
      expect(names[0] === names[1]).toBe(same)
    }),
  )
})

test("the key of a sharer named by an administrator is the one that the sharer gets", () => {
  fc.assert(
    fc.property(someone, (who) => {
      const caller = identity({ ...who, roles: ["r"] })
      for (const isolationBoundary of ["per_user", "per_role", "shared"] as const) {
        const of = target({ isolationBoundary })
        const sharer = sharerOf(of, caller, issuers)
        const named = sharer.kind === "shared" ? sharer : sharerNamed(sharer.kind, sharer)
        expect(sharerKey(named)).toBe(keyOf(of, caller))
      }
    }),
  )
})

describe("the readable subject", () => {
  test("names issuer and sharer", () => {
    const who = identity({ groups: ["eng"] })
    expect(readableSubject(target(), who, issuers)).toBe("corp/alice")
    expect(readableSubject(target(spec), who, issuers)).toBe("corp/eng")
    expect(readableSubject(target({ isolationBoundary: "shared" }), who, issuers)).toBe("shared")
    expect(readableSubject(target({ subjectKey: { strategy: "x" } }), who, issuers)).toBe("corp/alice")
  })
  test("is short and without control characters, whatever the subject holds", () => {
    fc.assert(
      fc.property(hostile, (subject) => {
        const text = readableSubject(target(), identity({ subject }), issuers)
        expect([...text].length).toBeLessThanOrEqual(256)
        expect(text).not.toMatch(/[\p{Cc}\p{Cf}]/u)
        expect(text.isWellFormed()).toBe(true)
      }),
    )
  })
})
