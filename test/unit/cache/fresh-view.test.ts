import { describe, expect, test } from "vitest"
import type { MCPInstance } from "../../../src/api/kinds/mcp-instance.ts"
import { createFreshView, isLater } from "../../../src/cache/fresh-view.ts"
import { createView } from "../../../src/operator/view.ts"
import { createInstanceView } from "../../../src/placement/know/instance-view.ts"
import type { ClusterPort } from "../../../src/ports/cluster.ts"
import { instance } from "../../support/build/placed.ts"
import { fakeClock } from "../../support/fake-clock.ts"
import { shownReflection } from "../../support/shown-reflection.ts"

const name = "github-user-alice"
const at = (resourceVersion: string, uid = "u1"): MCPInstance => instance({ uid, metadata: { resourceVersion } })

/** What every view over a watch cache can be told and asked. */
type Known = {
  readonly get: (name: string) => MCPInstance | undefined
  readonly learn: (object: MCPInstance) => unknown
  /** An authoritative read found nothing of this UID. */
  readonly gone: (uid: string) => unknown
}

const reflected = () => {
  const clock = fakeClock()
  const { reflection, tell } = shownReflection<MCPInstance>()
  return { clock, reflection, tell }
}

/** The core and whoever is built on it. */
const makers = {
  "the view itself": () => {
    const { clock, reflection, tell } = reflected()
    const view = createFreshView(reflection, { clock })
    return { clock, tell, view: { ...view, gone: (uid: string) => view.gone(name, uid) } satisfies Known }
  },
  "the operator's view": () => {
    const { clock, reflection, tell } = reflected()
    const { get, learn, gone } = createView(reflection, clock)
    const view: Known = { get, learn, gone: (uid) => gone(name, uid) }
    return { clock, tell, view }
  },
  "placement's view": () => {
    const { clock, reflection, tell } = reflected()
    const cluster = {} as ClusterPort
    const deps = { cluster, namespace: "reflow", instances: reflection, clock, onChange: () => {} }
    const { get, learn, learnDeleted } = createInstanceView(deps)
    const view: Known = { get, learn, gone: (uid) => learnDeleted(name, uid) }
    return { clock, tell, view }
  },
}

describe.each(Object.entries(makers))("what is known by %s", (_, make) => {
  const version = ({ get }: Known) => get(name)?.metadata.resourceVersion
  const uid = ({ get }: Known) => get(name)?.metadata.uid

  test("an answer is believed until the cache has caught up", () => {
    const { view, tell } = make()
    tell("added", at("5"))
    view.learn(at("8"))
    expect(version(view)).toBe("8")
    tell("modified", at("6"))
    expect(version(view)).toBe("8")
    tell("modified", at("8"))
    expect(version(view)).toBe("8")
    tell("modified", at("9"))
    expect(version(view)).toBe("9")
  })

  test("what an answer told is shown before the cache has it, and goes with it", () => {
    const { view, tell } = make()
    view.learn(at("3"))
    expect(uid(view)).toBe("u1")
    tell("added", at("3"))
    tell("deleted", at("4"))
    expect(view.get(name)).toBeUndefined()
  })

  test("a late answer never takes a step back, not even to an object of another UID", () => {
    const { view, tell } = make()
    tell("added", at("9"))
    view.learn(at("8"))
    expect(version(view)).toBe("9")
    view.learn(at("7", "u0"))
    expect(uid(view)).toBe("u1")
    view.learn(at("10", "u2"))
    expect(uid(view)).toBe("u2")
  })

  test("an answer that comes after the end does not bring an object back", () => {
    const { view, tell } = make()
    tell("added", at("3"))
    tell("deleted", at("4"))
    view.learn(at("3"))
    expect(view.get(name)).toBeUndefined()
  })

  test("a new object is kept when the end of its namesake is told late", () => {
    const { view, tell } = make()
    tell("added", at("4", "old"))
    view.learn(at("9", "new"))
    tell("deleted", at("8", "old"))
    expect(uid(view)).toBe("new")
  })

  test("one that the API server said is gone is gone, whatever comes late, while its successor is not", () => {
    const { view, tell } = make()
    tell("added", at("3"))
    view.gone("u0")
    expect(view.get(name)).toBeDefined()
    view.gone("u1")
    expect(view.get(name)).toBeUndefined()
    tell("modified", at("4"))
    expect(view.get(name)).toBeUndefined()
    view.learn(at("4"))
    expect(view.get(name)).toBeUndefined()
    view.learn(at("7", "u2"))
    expect(uid(view)).toBe("u2")
    tell("deleted", at("5"))
    expect(uid(view)).toBe("u2")
    tell("added", at("7", "u2"))
    expect(uid(view)).toBe("u2")
  })

  test("what was found missing of an answer takes along what the cache still has under the name", () => {
    const { view, tell } = make()
    tell("added", at("3", "old"))
    view.learn(at("9", "new"))
    view.gone("new")
    expect(view.get(name)).toBeUndefined()
    tell("modified", at("4", "old"))
    expect(view.get(name)).toBeUndefined()
  })

  test("the successor that the cache shows in place of what is gone is shown", () => {
    const { view, tell } = make()
    tell("added", at("3"))
    view.gone("u1")
    tell("modified", at("8", "u2"))
    expect(uid(view)).toBe("u2")
  })

  test("of versions that cannot be compared the answer stands, until another object takes its place", () => {
    const { view, tell } = make()
    tell("added", at("x"))
    view.learn(at("y"))
    tell("modified", at("z"))
    expect(version(view)).toBe("y")
    tell("modified", at("1", "u2"))
    expect(uid(view)).toBe("u2")
  })
})

test("the end of an object is remembered for a minute, then its UID means nothing any more", () => {
  const { clock, tell, view } = makers["the view itself"]()
  tell("added", at("3"))
  tell("deleted", at("4"))
  clock.skew(61_000)
  tell("added", at("5", "u2"))
  tell("deleted", at("6", "u2"))
  expect(view.learn(at("5", "u2"))).toBe(false)
  expect(view.learn(at("9"))).toBe(true)
})

test("what the cache has not confirmed is told, with since when, and a change of the cache after it is known", () => {
  const { clock, tell, view } = makers["the view itself"]()
  const seen: (string | undefined)[] = []
  const stop = view.subscribe(({ object }) => seen.push(view.get(object.metadata.name)?.metadata.resourceVersion))
  const begun = clock.now()
  view.learn(at("5"))
  expect(view.unconfirmedSince(name)).toBe(begun)
  tell("added", at("5"))
  expect(view.unconfirmedSince(name)).toBeUndefined()
  view.touch(name)
  expect(view.unconfirmedSince(name)).toBe(begun)
  tell("modified", at("6"))
  stop()
  tell("modified", at("7"))
  expect(seen).toEqual(["5", "6"])
})

test("versions are compared as numbers of any length; others cannot be compared", () => {
  expect([isLater("10", "9"), isLater("9", "10"), isLater("7", "7")]).toEqual([true, false, false])
  expect(isLater("9007199254740993", "9007199254740992")).toBe(true)
  expect(isLater("18446744073709551616", "18446744073709551615")).toBe(true)
  expect([isLater("a", "b"), isLater(undefined, "1"), isLater("a", "a")]).toEqual([undefined, undefined, false])
})
