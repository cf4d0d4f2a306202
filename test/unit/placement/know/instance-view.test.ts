import { describe, expect, test } from "vitest"
import type { MCPInstance } from "../../../../src/api/kinds/mcp-instance.ts"
import { createInstanceView } from "../../../../src/placement/know/instance-view.ts"
import type { Change, ClusterPort, Reflection } from "../../../../src/ports/cluster.ts"
import { instance } from "../../../support/build/placed.ts"
import { fakeClock } from "../../../support/fake-clock.ts"

const name = "github-user-alice"
const at = (resourceVersion: string, uid = "u1"): MCPInstance => instance({ uid, metadata: { resourceVersion } })

/** A reflection and an API server that a test moves by hand: a cache may lag as far as it likes. */
const setUp = () => {
  const clock = fakeClock()
  const cache = new Map<string, MCPInstance>()
  const listeners = new Set<(change: Change<MCPInstance>) => void>()
  const state: { silence: number; server: MCPInstance | undefined; reads: number } = {
    silence: 0,
    server: undefined,
    reads: 0,
  }
  const instances: Reflection<MCPInstance> = {
    synced: Promise.resolve(),
    hasSynced: () => true,
    get: (each) => cache.get(each),
    items: () => cache.values(),
    get size() {
      return cache.size
    },
    silenceMs: () => state.silence,
    subscribe: (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    close: async () => {},
  }
  const cluster: Pick<ClusterPort, "get"> = {
    get: async <T>() => {
      state.reads++
      return state.server as T | undefined
    },
  }
  const changes: string[] = []
  const view = createInstanceView({
    cluster: cluster as ClusterPort,
    namespace: "reflow",
    instances,
    clock,
    onChange: (each) => changes.push(each),
  })
  const emit = (type: Change<MCPInstance>["type"], object: MCPInstance): void => {
    if (type === "deleted") cache.delete(object.metadata.name)
    else cache.set(object.metadata.name, object)
    for (const listener of listeners) listener({ type, object })
  }
  return { clock, state, view, emit, changes, listeners }
}

describe("what is known of instances", () => {
  test("an instance made here is known, and told of, before the cache has it", () => {
    const { view, emit, changes } = setUp()
    view.learn(at("3"))
    expect(view.get(name)?.metadata.uid).toBe("u1")
    expect(changes).toEqual([name])
    view.learn(at("3"))
    expect(changes, "what is no news is not told").toEqual([name])
    emit("added", at("3"))
    expect(changes).toEqual([name, name])
    view.learnDeleted(name, "u1")
    expect(changes).toEqual([name, name, name])
    emit("deleted", at("4"))
    expect(view.get(name)).toBeUndefined()
  })

  test("a cache that was silent for more than 75 s is not trusted, until a read confirms it for five seconds", async () => {
    const { clock, state, view, emit } = setUp()
    emit("added", at("3"))
    state.silence = 75_000
    expect(view.isTrusted(name)).toBe(true)
    state.silence = 75_001
    expect(view.isTrusted(name)).toBe(false)
    state.server = at("3")
    await view.confirm(name)
    expect(view.isTrusted(name)).toBe(true)
    expect(view.isTrusted("another")).toBe(false)
    await clock.advance(5_001)
    expect(view.isTrusted(name)).toBe(false)
  })

  test("a read that finds another instance, or none, replaces what the cache says", async () => {
    const { state, view, emit } = setUp()
    emit("added", at("3"))
    state.server = at("9", "u2")
    await view.confirm(name)
    expect(view.get(name)?.metadata.uid).toBe("u2")
    state.server = undefined
    await view.confirm(name)
    expect(view.get(name)).toBeUndefined()
  })

  test("many who ask at the same time share one read", async () => {
    const { state, view } = setUp()
    await Promise.all(Array.from({ length: 50 }, () => view.confirm(name)))
    expect(state.reads).toBe(1)
  })

  test("an answer that the cache does not confirm within five seconds is doubted", async () => {
    const { clock, view } = setUp()
    view.learn(at("3"))
    expect(view.isTrusted(name)).toBe(true)
    await clock.advance(5_001)
    expect(view.isTrusted(name)).toBe(false)
  })

  test("closing ends the subscription", () => {
    const { view, listeners } = setUp()
    view.close()
    expect(listeners.size).toBe(0)
  })
})
