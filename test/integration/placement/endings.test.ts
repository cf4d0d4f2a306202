import { describe, expect, test } from "vitest"
import { mcpTargetKind } from "../../../src/api/kinds/mcp-target.ts"
import { condition, readyStatus } from "../../support/build/placed.ts"
import { identity } from "../../support/build/who.ts"
import {
  ask,
  bringUp,
  conditions,
  list,
  namespace,
  pod,
  remove,
  report,
  service,
  signal,
  world,
} from "../../support/placement-world.ts"

describe("an instance that the cluster calls Ready though its port is closed, or open without an answer", () => {
  test("gets nothing sent: the request is held until an address of it answers", async () => {
    const w = await world()
    const asked = ask(w)
    await w.clock.advance(0)
    await report(w, readyStatus({ url: service, podURL: pod }))
    await w.clock.advance(40_000)
    expect([asked.placed, asked.error]).toEqual([undefined, undefined])
    w.answering.add(pod)
    await w.clock.advance(300)
    expect(asked.placed).toMatchObject({ url: new URL(pod) })
  })

  test("is a 503 with Retry-After once the hold is over", async () => {
    const w = await world()
    const asked = ask(w)
    await w.clock.advance(0)
    await report(w, readyStatus({ url: service, podURL: pod }))
    await w.clock.advance(45_000)
    expect(asked.error).toMatchObject({ code: "InstanceStarting", retryAfterSeconds: expect.any(Number) })
  })
})

describe("a process that dies", () => {
  test("is waited for, and its next incarnation has to answer before anything is sent there", async () => {
    const w = await world()
    await bringUp(w)
    w.answering.clear()
    await report(w, { phase: "Starting", ...conditions(condition("Ready", "False", "Restarting", "exited with 137")) })
    const asked = ask(w)
    await w.clock.advance(1_000)
    expect(asked.placed).toBeUndefined()
    w.answering.add(pod)
    await report(w, { incarnation: "pod-uid.1" })
    await w.clock.advance(300)
    expect(asked.placed).toMatchObject({ incarnation: "pod-uid.1" })
  })

  test("before the cluster knows makes the next request look again instead of fail", async () => {
    const w = await world()
    const placed = await bringUp(w)
    w.answering.clear()
    w.placement.reportUnreachable(placed)
    // the API server may know what the watch has not told yet
    expect(w.calls).toEqual(["get MCPInstance"])
    const asked = ask(w)
    await w.clock.advance(1_000)
    expect(asked.placed).toBeUndefined()
    w.answering.add(pod).add(service)
    await w.clock.advance(550)
    expect(asked.placed).toBeDefined()
  })

  test("is another incarnation for whoever asks the cluster, and none once its instance is gone", async () => {
    const w = await world()
    const placed = await bringUp(w)
    expect(await w.placement.currentIncarnation(placed, signal)).toBe("pod-uid.0")
    await report(w, { incarnation: "pod-uid.1" })
    expect(await w.placement.currentIncarnation(placed, signal)).toBe("pod-uid.1")
    await remove(w)
    expect(await w.placement.currentIncarnation(placed, signal)).toBeUndefined()
    await bringUp(w)
    expect(await w.placement.currentIncarnation(placed, signal)).toBeUndefined()
  })
})

describe("closing", () => {
  test("ends those who wait, removes the own key, and takes no more", async () => {
    const w = await world()
    w.placement.beginCall(await bringUp(w))
    await w.clock.advance(2_000)
    const asked = ask(w, { who: identity({ subject: "bob" }) })
    await w.clock.advance(0)
    const closed = w.placement.close()
    await w.clock.advance(0)
    await closed
    expect(asked.error).toMatchObject({ code: "ShuttingDown" })
    for (const { status } of await list(w)) expect(status?.inUseBy ?? {}).toEqual({})
    const late = ask(w)
    await late.promise
    expect(late.error).toMatchObject({ code: "ShuttingDown" })
  })
})

describe("a target that goes", () => {
  test("a request that waits for its instance is told so, and no instance is made for it again", async () => {
    const w = await world()
    const asked = ask(w)
    await w.clock.advance(100)
    await w.cluster.delete(mcpTargetKind, { namespace, name: "github" })
    await w.clock.advance(1_000)
    expect(asked.error).toMatchObject({ code: "TargetNotFound" })
    expect(await list(w)).toEqual([])
    expect(w.calls.filter((call) => call === "create MCPInstance")).toHaveLength(1)
  })
})
