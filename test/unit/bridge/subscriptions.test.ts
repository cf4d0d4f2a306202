import { describe, expect, test, vi } from "vitest"
import { Subscriptions } from "../../../src/bridge/subscriptions.ts"

const isRefused = expect.objectContaining({ code: "InvalidParams" })

describe("the subscriptions of a shared child", () => {
  test("tell the last subscriber of a resource from the others", () => {
    const subscriptions = new Subscriptions<object>()
    const [one, other] = [{}, {}]
    for (const session of [one, other, one]) expect(subscriptions.add("a", session)).toBeUndefined()
    expect(subscriptions.has("a", one)).toBe(true)
    expect([subscriptions.remove("a", one), subscriptions.remove("a", one)]).toEqual([false, false])
    expect(subscriptions.has("a", one)).toBe(false)
    expect([subscriptions.remove("a", other), subscriptions.remove("a", other)]).toEqual([true, false])
    expect(subscriptions.remove("b", one)).toBe(false)
  })

  test("name what only the session had that leaves", () => {
    const subscriptions = new Subscriptions<object>()
    const [one, other] = [{}, {}]
    for (const uri of ["a", "b"]) subscriptions.add(uri, one)
    for (const uri of ["b", "c"]) subscriptions.add(uri, other)
    expect(subscriptions.leave(one)).toEqual(["a"])
    expect(subscriptions.leave(other)).toEqual(["b", "c"])
  })

  test("cost a session that leaves no more than its own", () => {
    const subscriptions = new Subscriptions<object>()
    const [one, other] = [{}, {}]
    for (let at = 0; at < 1_000; at++) subscriptions.add(`r${at}`, one)
    subscriptions.add("r7", other)
    const remove = vi.spyOn(subscriptions, "remove")
    expect(subscriptions.leave(other)).toEqual([])
    expect(subscriptions.leave({})).toEqual([])
    expect(remove.mock.calls).toEqual([["r7", other]])
    expect(subscriptions.leave(other)).toEqual([])
    expect(subscriptions.leave(one)).toHaveLength(1_000)
  })

  test("have URIs of at most 8,192 bytes", () => {
    const subscriptions = new Subscriptions<object>()
    expect(subscriptions.add("x".repeat(8_192), {})).toBeUndefined()
    expect(subscriptions.add("é".repeat(4_097), {})).toEqual(isRefused)
  })

  test("are at most 1,000 of one session, until it ends some", () => {
    const subscriptions = new Subscriptions<object>()
    const session = {}
    for (let at = 0; at < 1_000; at++) expect(subscriptions.add(`r${at}`, session)).toBeUndefined()
    expect(subscriptions.add("r1000", session)).toEqual(isRefused)
    expect(subscriptions.add("r999", session)).toBeUndefined()
    expect(subscriptions.add("r1000", {})).toBeUndefined()
    subscriptions.remove("r0", session)
    expect(subscriptions.add("r1000", session)).toBeUndefined()
  })

  test("take at most 32 MiB together, and give back all that they took", () => {
    const subscriptions = new Subscriptions<object>()
    const fill = () => {
      const sessions = [{}]
      let added = 0
      while (subscriptions.add(`${added}-${"x".repeat(8_000)}`, sessions.at(-1) ?? {}) === undefined)
        if (++added % 1_000 === 0) sessions.push({})
      for (const session of sessions) subscriptions.leave(session)
      return added
    }
    const added = fill()
    expect(added * 8_100).toBeLessThan(33 * 2 ** 20)
    expect(added).toBeGreaterThan(4_000)
    expect(fill()).toBe(added)
  })
})
