import { describe, expect, test } from "vitest"
import { type MCPInstance, mcpInstanceKind } from "../../../src/api/kinds/mcp-instance.ts"
import { createCompose } from "../../../src/credentials/compose.ts"
import { createNeedleShare } from "../../../src/credentials/needle-share.ts"
import { createPlacement } from "../../../src/placement/placement.ts"
import type { Reflection } from "../../../src/ports/cluster.ts"
import { condition, readyStatus } from "../../support/build/placed.ts"
import {
  ask,
  bringUp,
  conditions,
  list,
  minute,
  namespace,
  only,
  options,
  pod,
  remove,
  report,
  requestOf,
  service,
  world,
} from "../../support/placement-world.ts"
import { quietTelemetry } from "../../support/quiet-telemetry.ts"

describe("a warm request", () => {
  test("costs no call to the API server", async () => {
    const w = await world()
    await bringUp(w)
    for (let index = 0; index < 100; index++) await w.placement.place(requestOf(w))
    await w.placement.place(requestOf(w, { mode: "find" }))
    expect(w.calls).toEqual([])
  })

  test("after half the idle TTL waits until its use is recorded", async () => {
    const w = await world()
    await bringUp(w)
    await w.clock.advance(16 * minute)
    w.calls.splice(0)
    const asked = ask(w)
    await w.clock.advance(0)
    expect(asked.placed).toBeDefined()
    expect(w.calls).toEqual(["patchStatus MCPInstance"])
    expect(Date.parse((await only(w)).status?.lastUsedTime ?? "")).toBeGreaterThan(w.clock.now() - 1_000)
  })

  test("whose record loses against the collection is served by a new instance", async () => {
    const w = await world()
    const before = await bringUp(w)
    await w.clock.advance(16 * minute)
    // the delete has happened, and this replica's cache does not know yet
    const patched = w.cluster.delete(mcpInstanceKind, { namespace, name: before.instance })
    const asked = ask(w)
    await patched
    await w.clock.advance(0)
    expect((await only(w)).metadata.uid).not.toBe(before.instanceUID)
    await report(w, readyStatus({ url: service, podURL: pod, incarnation: "new.0" }))
    await w.clock.advance(300)
    expect(asked.placed).toMatchObject({ incarnation: "new.0" })
  })

  test("is held if the answer to its record says that the instance drains", async () => {
    const w = await world()
    const before = await bringUp(w)
    await w.clock.advance(16 * minute)
    const draining = { status: conditions(condition("Ready", "True"), condition("Draining", "True", "MaxLifetime")) }
    // the drain has begun, and this replica's cache does not know yet
    const patched = w.cluster.patchStatus(mcpInstanceKind, { namespace, name: before.instance }, draining)
    const asked = ask(w)
    await patched
    await w.clock.advance(100)
    expect(asked.placed).toBeUndefined()
  })

  test("asks the API server first while the watch is silent, once for all and not each time", async () => {
    const w = await world()
    await bringUp(w)
    w.cache.silence = 75_001
    const asked = Array.from({ length: 20 }, () => ask(w))
    await w.clock.advance(0)
    expect(asked.every(({ placed }) => placed !== undefined)).toBe(true)
    expect(w.calls).toEqual(["get MCPInstance"])
    await w.placement.place(requestOf(w))
    expect(w.calls).toHaveLength(1)
  })

  test("never goes to the address of an instance that the silent cache only believes in", async () => {
    const w = await world()
    const { instance } = await bringUp(w)
    const cached = w.instances.get(instance) as MCPInstance
    await remove(w)
    // a cache that missed the deletion
    const stale: Reflection<MCPInstance> = {
      ...w.instances,
      get: () => cached,
      size: 1,
      silenceMs: () => 80_000,
      subscribe: () => () => {},
    }
    const placement = createPlacement({
      needles: createNeedleShare(),
      cluster: w.cluster,
      instances: stale,
      targets: w.targets,
      compose: createCompose({ cluster: w.cluster, namespace }),
      clock: w.clock,
      telemetry: quietTelemetry(),
      replica: "stale",
      options,
      probe: async () => "answered",
    })
    const asked = ask(w, { by: placement, mode: "find" })
    await w.clock.advance(0)
    expect(asked.error).toMatchObject({ code: "SessionNotFound" })
    await placement.close()
  })
})

describe("a request that may not create", () => {
  test("hears that its session is gone after one read, however many ask, and makes nothing", async () => {
    const w = await world()
    const asked = Array.from({ length: 10 }, () => ask(w, { mode: "find" }))
    await w.clock.advance(0)
    expect(asked.map(({ error }) => error?.code)).toEqual(Array.from({ length: 10 }, () => "SessionNotFound"))
    expect(w.calls).toEqual(["get MCPInstance"])
    expect(await list(w)).toHaveLength(0)
  })

  test("finds an instance that a lagging cache does not know", async () => {
    const w = await world()
    await bringUp(w)
    w.cache.hidden = true
    const other = w.addReplica()
    w.answering.clear()
    const asked = ask(w, { mode: "find", by: other.placement })
    await w.clock.advance(100)
    expect(asked.error).toBeUndefined()
    w.answering.add(pod)
    await w.clock.advance(300)
    expect(asked.placed).toBeDefined()
    expect(other.calls).toEqual(["get MCPInstance"])
  })
})
