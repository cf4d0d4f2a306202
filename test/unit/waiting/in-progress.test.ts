import { describe, expect, test } from "vitest"
import { createRoster, LazySignal, type Member, realSignal } from "../../../src/waiting/in-progress.ts"

describe("a lazy signal", () => {
  test("calls its listeners once, with the first reason", () => {
    const signal = new LazySignal()
    const called: unknown[] = []
    signal.addEventListener("abort", () => called.push(signal.reason))
    signal.abort("first")
    signal.abort("second")
    expect(called).toEqual(["first"])
    expect(signal.aborted).toBe(true)
    expect(() => signal.throwIfAborted()).toThrow("first")
  })

  test("does not call a listener that was removed, and calls all others", () => {
    const signal = new LazySignal()
    const called: string[] = []
    const [one, two, three] = ["one", "two", "three"].map((name) => () => void called.push(name))
    for (const each of [one, two, three]) if (each !== undefined) signal.addEventListener("abort", each)
    if (two !== undefined) signal.removeEventListener("abort", two)
    signal.removeEventListener("abort", () => {})
    signal.abort()
    expect(called).toEqual(["one", "three"])
  })

  test("is not aborted before, and is aborted with an AbortError without a reason, like a real one", () => {
    const signal = new LazySignal()
    expect(() => signal.throwIfAborted()).not.toThrow()
    signal.abort()
    expect(signal.reason).toMatchObject({ name: "AbortError" })
  })

  test("has a real signal, always the same, which is aborted with it, before or after it was made", () => {
    const signal = new LazySignal()
    const real = realSignal(signal)
    expect(real).toBeInstanceOf(AbortSignal)
    expect(realSignal(signal)).toBe(real)
    signal.abort("why")
    expect(real.reason).toBe("why")
    const late = new LazySignal()
    late.abort("late")
    expect(realSignal(late)).toMatchObject({ aborted: true, reason: "late" })
    expect(realSignal(real)).toBe(real)
  })
})

describe("a roster", () => {
  const member = (name: string) => ({ name, place: -1 })
  const names = (roster: { all(): readonly (Member & { name: string })[] }) =>
    roster
      .all()
      .map(({ name }) => name)
      .toSorted()

  test("has the members that came and did not leave, in whatever order they leave", () => {
    const roster = createRoster<ReturnType<typeof member>>()
    const [a, b, c, d] = ["a", "b", "c", "d"].map(member) as [never, never, never, never]
    for (const each of [a, b, c, d]) roster.add(each)
    roster.remove(b)
    expect(names(roster)).toEqual(["a", "c", "d"])
    roster.remove(d)
    roster.remove(a)
    expect(names(roster)).toEqual(["c"])
    roster.add(b)
    expect(names(roster)).toEqual(["b", "c"])
  })

  test("is not changed by a member that left before or never came", () => {
    const roster = createRoster<ReturnType<typeof member>>()
    const [a, b] = [member("a"), member("b")]
    roster.add(a)
    roster.remove(b)
    roster.remove(a)
    roster.add(b)
    roster.remove(a)
    expect(names(roster)).toEqual(["b"])
  })

  test("may change while a copy of it is read", () => {
    const roster = createRoster<ReturnType<typeof member>>()
    for (const name of ["a", "b", "c"]) roster.add(member(name))
    for (const each of roster.all()) roster.remove(each)
    expect(roster.all()).toEqual([])
  })
})
