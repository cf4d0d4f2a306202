import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { applyMergePatch } from "../../../src/api/patch.ts"
import { changeAnnotation, changeBetween, noteChange } from "../../../src/signals/credentials-changed.ts"

type Annotations = Readonly<Record<string, string>>

const start = Date.parse("2030-01-01T00:00:00Z")
const minute = 60_000
const all = "credentials.mcp.reflow.io/all"

/** The annotations after a change of each scope Secret, one after the other. */
const noting = (before: Annotations, secrets: readonly string[], at: (index: number) => number): Annotations =>
  secrets.reduce<Annotations>(
    (known, secret, index) => applyMergePatch(known, noteChange(known, secret, at(index))) as Annotations,
    before,
  )
const numbered = (count: number) => Array.from({ length: count }, (_, index) => `tickets-env-user-${index}`)
const isSeen = (before: Annotations, now: Annotations, secret: string): boolean =>
  changeBetween(before, now).concerns([changeAnnotation(secret)])

/** Annotations as other tools write them, and as a person may edit ours. */
const foreign = fc.dictionary(
  fc.oneof(fc.constantFrom("a.example/b", "credentials.mcp.reflow.io.example/x"), fc.string()),
  fc.string(),
)
const scopes = fc.array(
  fc.nat(400).map((index) => `tickets-env-user-${index}`),
  { maxLength: 300 },
)

describe("a change of a credential scope", () => {
  test("is noted under a name that Kubernetes takes, however long the Secret's name is", () => {
    for (const secret of ["a", "x".repeat(253), "tickets-env-group-äöü"])
      expect(changeAnnotation(secret)).toMatch(/^credentials\.mcp\.reflow\.io\/[a-z0-9]{15}$/)
    expect(changeAnnotation("a")).not.toBe(changeAnnotation("b"))
    expect(noteChange({}, "a", start)).toEqual({ [changeAnnotation("a")]: "2030-01-01T00:00:00.000Z" })
  })
  test("is seen by all who knew an earlier state, whatever happened between and whatever the clocks say", () => {
    const many = fc.array(fc.tuple(scopes, fc.integer({ min: -5 * minute, max: 60 * minute })), { maxLength: 4 })
    fc.assert(
      fc.property(foreign, many, fc.nat(400), scopes, (given, history, changed, later) => {
        const before = history.reduce((known, [secrets, ms]) => noting(known, secrets, () => start + ms), given)
        const secret = `tickets-env-user-${changed}`
        const noted = noting(before, [secret], () => start)
        expect(isSeen(before, noted, secret)).toBe(true)
        // also if more changes are noted before somebody looks, as long as none of them is ten minutes later
        expect(
          isSeen(
            before,
            noting(noted, later, (index) => start + index),
            secret,
          ),
        ).toBe(true)
      }),
    )
  })
  test("leaves foreign annotations as they are, and keeps few of its own", () => {
    fc.assert(
      fc.property(foreign, scopes, (given, secrets) => {
        const now = noting(given, secrets, (index) => start + index)
        expect(now).toMatchObject(given)
        expect(Object.keys(now).length - Object.keys(given).length).toBeLessThanOrEqual(200)
      }),
    )
  })
  test("is noted twice in one millisecond as two changes", () => {
    const once = noting({}, ["a"], () => start)
    expect(
      isSeen(
        once,
        noting(once, ["a"], () => start),
        "a",
      ),
    ).toBe(true)
    const crowd = noting({}, numbered(201), () => start)
    expect(
      isSeen(
        crowd,
        noting(crowd, numbered(200), () => start),
        "tickets-env-user-0",
      ),
    ).toBe(true)
  })
})

describe("the annotations of changes", () => {
  test("stand for one scope each up to two hundred, then one stands for all", () => {
    const most = noting({}, numbered(200), () => start)
    expect(Object.keys(most)).toHaveLength(200)
    expect(most).not.toHaveProperty([all])
    const more = noting(most, ["tickets-env-user-200"], () => start + 1)
    expect(more).toEqual({ [all]: "2030-01-01T00:00:00.001Z" })
    // it concerns everybody, also scopes that never had an annotation
    for (const secret of [...numbered(250), "another"]) expect(isSeen(most, more, secret)).toBe(true)
    expect(Object.keys(noting({}, numbered(250), () => start)).sort()).toContain(all)
    expect(Object.keys(noting({}, numbered(250), () => start))).toHaveLength(50)
  })
  test("are removed by the first change ten minutes later, with those that have no time", () => {
    const old = noting({ [changeAnnotation("broken")]: "yesterday" }, ["a", "b"], (index) => start + index * minute)
    expect(Object.keys(old).sort()).toEqual([changeAnnotation("a"), changeAnnotation("b")].sort())
    const then = noting(old, ["c"], () => start + 10 * minute)
    expect(Object.keys(then)).toHaveLength(3)
    const now = noting(old, ["c"], () => start + 10 * minute + 1)
    expect(Object.keys(now).sort()).toEqual([changeAnnotation("b"), changeAnnotation("c")].sort())
    expect(noting({ [all]: new Date(start).toISOString() }, ["c"], () => start + 11 * minute)).not.toHaveProperty([all])
  })
  test("of others are no change, nor is a removed one", () => {
    const noted = noting({}, ["a", "b"], () => start)
    expect(changeBetween(noted, noted)).toMatchObject({ isEmpty: true })
    expect(changeBetween(noted, {}).isEmpty).toBe(true)
    expect(isSeen(noted, {}, "a")).toBe(false)
    expect(changeBetween({}, { "a.example/b": "c", [`x${changeAnnotation("a")}`]: "d" }).isEmpty).toBe(true)
    const next = noting(noted, ["a"], () => start + 1)
    expect(changeBetween(noted, next).isEmpty).toBe(false)
    expect([isSeen(noted, next, "a"), isSeen(noted, next, "b")]).toEqual([true, false])
  })
})
