import { afterEach, beforeEach, describe, expect, it } from "vitest"
import type { Intercept } from "../../src/adapters/memory/client.ts"
import { mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import { podKind } from "../../src/api/kinds/pod.ts"
import { AppError } from "../../src/errors.ts"
import { crashedStatus, readyStatus } from "../support/build/pod.ts"
import { type OperatorWorld, operatorWorld } from "../support/operator-world.ts"

const namespace = "reflow"
let world: OperatorWorld

beforeEach(() => {
  world = operatorWorld()
})
afterEach(() => world.close())

const isWrite = (verb: string) => !["get", "list", "watch", "podLogs"].includes(verb)
const unavailable = () => new AppError("ClusterUnavailable", { detail: "The API server does not answer." })

/** Each frame of each watch, or only of those of a kind, comes so many milliseconds after the one before it was read: caches are at least that late. */
const lagging = (ms: number, only?: string): Intercept => ({
  frames: async function* (frames, { kind }, signal) {
    for await (const frame of frames) {
      if (kind === (only ?? kind)) await world.clock.sleep(ms, signal)
      yield frame
    }
  },
})

describe("a cache that is ten seconds behind", () => {
  it("causes no double create", async () => {
    await world.start({}, lagging(10_000))
    await world.make()
    await world.pass(90)
    expect(world.writes.filter(({ verb, kind }) => verb === "create" && kind === "Pod")).toHaveLength(1)
    expect(world.writes.filter(({ verb, kind }) => verb === "create" && kind === "Service")).toHaveLength(1)
    expect(await world.status()).toMatchObject({ phase: "Ready", starts: 1 })
  })

  it("causes no second Pod beside one that another operator made, which leads by now", async () => {
    await world.start({}, lagging(10_000))
    await world.start()
    await world.make()
    await world.pass(60)
    expect(world.writes.filter(({ verb, kind }) => verb === "create" && kind === "Pod")).toHaveLength(1)
    expect(await world.status()).toMatchObject({ phase: "Ready", starts: 1 })
  })

  it("causes no wrong delete: a touch that it does not show yet saves the instance", async () => {
    await world.start({}, lagging(10_000))
    await world.make({ spec: { idleTTL: "60s" } })
    await world.pass(90)
    const born = (await world.instance())?.metadata.uid
    for (let use = 0; use < 30; use++) {
      await world.touch({ lastUsedTime: new Date(world.clock.now()).toISOString() })
      await world.pass(15)
    }
    expect((await world.instance())?.metadata.uid).toBe(born)
    expect(await world.status()).toMatchObject({ starts: 1 })
  })

  it("causes no wrong delete: a server that it does not know to answer is drained like any other that does", async () => {
    await world.start({}, lagging(8_000, "Pod"))
    await world.make()
    await world.pass(2)
    const [pod] = await world.livePods()
    expect(pod?.status?.containerStatuses?.[0]?.ready).toBe(true)
    await world.touch({ inUseBy: { "gw-0": "a" } })
    await world.edit({ spec: { image: "ghcr.io/org/files:2" } })
    await world.pass(20)
    expect(await world.reason("Draining")).toBe("SpecChanged")
    expect((await world.livePods()).map(({ metadata }) => metadata.uid)).toEqual([pod?.metadata.uid])
    await world.touch({ inUseBy: { "gw-0": null } })
    await world.pass(90)
    expect(await world.status()).toMatchObject({ phase: "Ready", starts: 2 })
  })

  it("causes no wrong delete: a server that crashed and answers again by now is drained before its instance goes", async () => {
    await world.start({}, lagging(8_000, "Pod"))
    await world.make()
    await world.pass(60)
    const { podName = "" } = await world.status()
    await world.touch({ inUseBy: { "gw-0": "a" } })
    await world.kubelet.set(podName, crashedStatus(1))
    await world.pass(2)
    await world.kubelet.set(podName, readyStatus({ restartCount: 1 }))
    await world.pass(2)
    await world.edit({ spec: { restartTime: new Date(world.clock.now()).toISOString() } })
    await world.pass(20)
    expect(await world.reason("Draining")).toBe("Restarted")
    expect((await world.livePods()).map(({ metadata }) => metadata.name)).toEqual([podName])
    await world.touch({ inUseBy: { "gw-0": null } })
    await world.pass(20)
    expect(await world.instance()).toBeUndefined()
  })

  it("causes one replacement for one change of spec", async () => {
    await world.start({}, lagging(10_000))
    await world.make()
    await world.pass(120)
    await world.edit({ spec: { image: "ghcr.io/org/files:2" } })
    await world.pass(120)
    expect(await world.status()).toMatchObject({ phase: "Ready", starts: 2 })
    expect(await world.pods()).toHaveLength(1)
  })

  it("writes nothing about an earlier instance into a new one of the same name", async () => {
    await world.start({}, lagging(10_000, "MCPInstance"))
    await world.make()
    await world.pass(40)
    const { name } = (await world.instance())?.metadata ?? { name: "" }
    const earlier = await world.status()
    expect(earlier).toMatchObject({ phase: "Ready" })
    const phases = new Set<string | undefined>()
    const watch = world.cluster.watch(mcpInstanceKind, { namespace })
    await world.cluster.delete(mcpInstanceKind, { namespace, name })
    const { metadata } = await world.make()
    watch.subscribe(({ object }) => object.metadata.uid === metadata.uid && phases.add(object.status?.phase))
    await world.kubelet.set(earlier.podName ?? "", crashedStatus(1))
    await world.pass(60)
    await watch.close()
    expect([...phases]).toEqual([undefined, "Pending", "Starting", "Ready"])
  })

  it("does not exceed the limit", async () => {
    await world.start({ max_instances: 3 }, lagging(10_000))
    for (let index = 0; index < 9; index++)
      await world.make({ name: `i${index}`, spec: { subjectKey: `user:${index}` } })
    for (let second = 0; second < 60; second++) {
      await world.pass(1)
      expect((await world.holders()).size).toBeLessThanOrEqual(3)
    }
  })
})

describe("two operators for a moment", () => {
  it("make one Pod and one Service", async () => {
    await Promise.all([world.start(), world.start()])
    await world.make()
    await world.pass(10)
    expect(await world.status()).toMatchObject({ phase: "Ready", starts: 1 })
    expect(await world.pods()).toHaveLength(1)
    expect(await world.services()).toHaveLength(1)
  })

  it("replace a Pod once", async () => {
    await Promise.all([world.start(), world.start()])
    await world.make()
    await world.pass(10)
    await world.edit({ spec: { image: "ghcr.io/org/files:2" } })
    await world.pass(20)
    expect(await world.status()).toMatchObject({ phase: "Ready" })
    expect(await world.livePods()).toHaveLength(1)
    expect((await world.status()).starts).toBeLessThanOrEqual(3)
  })
})

describe("an API server that is away", () => {
  it("is not stormed, and caught up with within five seconds of its return", async () => {
    let away = false
    const intercept: Intercept = {
      call: (_call, run) => {
        if (away) throw unavailable()
        return run()
      },
    }
    await world.start({}, intercept)
    for (let index = 0; index < 10; index++)
      await world.make({ name: `i${index}`, spec: { subjectKey: `user:${index}` } })
    await world.pass(5)
    const before = world.writes.length
    away = true
    await world.edit({ spec: { image: "ghcr.io/org/files:2" } }, "i3")
    await world.pass(30)
    expect(world.writes.length - before).toBeLessThan(30)
    away = false
    await world.pass(5)
    expect(await world.reason("Draining", "i3")).toBeDefined()
    await world.pass(5)
    expect(await world.status("i3")).toMatchObject({ phase: "Ready", starts: 2 })
  })

  it("that loses answers causes nothing twice", async () => {
    let turn = 0
    const intercept: Intercept = {
      call: async (call, run) => {
        const answer = await run()
        turn += 1
        if (isWrite(call.verb) && turn % 2 === 0) throw unavailable()
        return answer
      },
    }
    await world.start({}, intercept)
    await world.make()
    await world.pass(30)
    expect(await world.status()).toMatchObject({ phase: "Ready", starts: 1 })
    expect(await world.pods()).toHaveLength(1)
  })
})

describe("a phantom", () => {
  it("Pod that was made and removed while the watch was blind is found out by asking", async () => {
    let blind = false
    const intercept: Intercept = {
      frames: async function* (frames, call) {
        for await (const frame of frames) if (!blind || call.kind !== "Pod") yield frame
      },
    }
    await world.start({}, intercept)
    blind = true
    await world.make()
    await world.pass(5)
    const [pod] = await world.pods()
    await world.cluster.delete(podKind, { namespace, name: pod?.metadata.name ?? "" }, { gracePeriodSeconds: 0 })
    blind = false
    await world.pass(40)
    expect(await world.status()).toMatchObject({ phase: "Ready" })
    expect(await world.livePods()).toHaveLength(1)
  })

  it("instance that was deleted and made anew under its name gets children of its own", async () => {
    await world.start()
    await world.make()
    await world.pass(5)
    const old = (await world.pods())[0]?.metadata.name
    await world.cluster.delete(mcpInstanceKind, { namespace, name: "files-user-a" })
    const next = await world.make()
    await world.pass(10)
    expect(await world.status()).toMatchObject({ phase: "Ready", starts: 1 })
    const [pod, ...others] = await world.pods()
    expect(others).toEqual([])
    expect(pod?.metadata.name).not.toBe(old)
    expect(pod?.metadata.ownerReferences?.[0]?.uid).toBe(next.metadata.uid)
  })
})
