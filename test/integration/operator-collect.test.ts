import { afterEach, beforeEach, describe, expect, it } from "vitest"
import type { Intercept } from "../../src/adapters/memory/client.ts"
import { serviceKind } from "../../src/api/kinds/kubernetes.ts"
import { mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import { podKind } from "../../src/api/kinds/pod.ts"
import { labels, recommendedLabels } from "../../src/api/names.ts"
import { stampAfter } from "../support/build/metadata.ts"
import { crashedStatus } from "../support/build/pod.ts"
import { type OperatorWorld, operatorWorld } from "../support/operator-world.ts"

const namespace = "reflow"
const minutes = 60
let world: OperatorWorld

beforeEach(() => {
  world = operatorWorld()
})
afterEach(() => world.close())

const stampNow = () => new Date(world.clock.now()).toISOString()

/** Seconds until the instance is gone, looked at each second, at most `limit`. */
const secondsUntilGone = async (limit: number, name?: string): Promise<number | undefined> => {
  for (let second = 1; second <= limit; second++) {
    await world.pass(1)
    if ((await world.instance(name)) === undefined) return second
  }
  return undefined
}

describe("an idle instance", () => {
  it("that was never used goes 1.25 TTL after it became ready, and its Pod and Service with it", async () => {
    await world.start()
    await world.make({ spec: { idleTTL: "40s" } })
    await world.pass(1)
    const gone = await secondsUntilGone(80)
    expect(gone).toBeGreaterThanOrEqual(50)
    expect(gone).toBeLessThanOrEqual(55)
    await world.pass(10)
    expect([...(await world.pods()), ...(await world.services())]).toEqual([])
  })

  it("goes 1.25 TTL after its last recorded use, never before", async () => {
    await world.start()
    await world.make({ spec: { idleTTL: "40s" } })
    await world.pass(30)
    await world.touch({ lastUsedTime: stampNow() })
    const gone = await secondsUntilGone(80)
    expect(gone).toBeGreaterThanOrEqual(50)
    expect(gone).toBeLessThanOrEqual(55)
  })

  it("is not idle during a call that is longer than the TTL; the TTL starts at its end", async () => {
    await world.start()
    await world.make({ spec: { idleTTL: "10s" } })
    await world.pass(2)
    for (let renewal = 0; renewal < 10; renewal++) {
      await world.touch({ inUseBy: { "gw-0": String(renewal) } })
      await world.pass(30)
    }
    expect(await world.status()).toMatchObject({ phase: "Ready" })
    await world.touch({ inUseBy: { "gw-0": null } })
    const gone = await secondsUntilGone(60)
    expect(gone).toBeGreaterThanOrEqual(12)
    expect(gone).toBeLessThanOrEqual(17)
  })

  it("is not held for ever by the key of a gateway that died", async () => {
    await world.start({ idle_ttl: 30 * minutes * 1000 })
    await world.make()
    await world.touch({ inUseBy: { dead: "a", alive: "b" } })
    await world.pass(60)
    await world.touch({ inUseBy: { alive: "c" } })
    await world.pass(31)
    expect((await world.status()).inUseBy).toEqual({ alive: "c" })
  })

  it("is saved by a touch between the decision and the deletion", async () => {
    await world.start()
    await world.make({ spec: { idleTTL: "40s" } })
    await world.pass(52)
    expect(await world.reason("Draining")).toBe("Idle")
    await world.touch({ lastUsedTime: stampNow() })
    await world.pass(30)
    expect(await world.status()).toMatchObject({ phase: "Ready", starts: 1 })
    expect(await world.reason("Draining")).toBe("NotDraining")
  })

  it("is saved by a touch that reaches the API server just before the delete", async () => {
    let touched = false
    const intercept: Intercept = {
      call: async (call, run) => {
        if (call.verb === "delete" && call.kind === "MCPInstance" && !touched) {
          touched = true
          await world.touch({ lastUsedTime: stampNow() })
        }
        return run()
      },
    }
    await world.start({}, intercept)
    await world.make({ spec: { idleTTL: "40s" } })
    await world.pass(60)
    expect(touched).toBe(true)
    expect(await world.status()).toMatchObject({ phase: "Ready" })
  })

  it("is not collected early after a restart of the operator: its stamp may be of a clock that is minutes behind", async () => {
    const first = await world.start()
    await world.make({ spec: { idleTTL: "40s" } })
    await world.pass(5)
    await world.touch({ lastUsedTime: new Date(world.clock.now() - 5 * minutes * 1000).toISOString() })
    await first.close()
    await world.start()
    expect(await secondsUntilGone(49)).toBeUndefined()
    expect(await secondsUntilGone(10)).toBeDefined()
  })

  it.each([-5, 5])("is collected in time by an operator whose clock is %i minutes off", async (offset) => {
    await world.start()
    await world.make({ spec: { idleTTL: "10m" } })
    await world.pass(5)
    const use = () => new Date(world.clock.now() + offset * minutes * 1000).toISOString()
    await world.touch({ lastUsedTime: use() })
    await world.pass(9 * minutes)
    await world.touch({ lastUsedTime: use() })
    const gone = await secondsUntilGone(13 * minutes)
    expect(gone).toBeGreaterThanOrEqual(12.5 * minutes)
    expect(gone).toBeLessThanOrEqual(12.5 * minutes + 5)
  })
})

describe("a drain to the end", () => {
  it("at max_lifetime waits for open calls up to drain_timeout, whatever is touched", async () => {
    await world.start()
    await world.make({ spec: { maxLifetime: "5m" } })
    for (let renewal = 0; renewal < 10; renewal++) {
      await world.touch({ inUseBy: { "gw-0": String(renewal) }, lastUsedTime: stampNow() })
      await world.pass(30)
    }
    await world.touch({ inUseBy: { "gw-0": "again" }, lastUsedTime: stampNow() })
    expect(await world.reason("Draining")).toBe("MaxLifetime")
    const gone = await secondsUntilGone(100)
    expect(gone).toBeGreaterThanOrEqual(59)
    expect(gone).toBeLessThanOrEqual(61)
  })

  it("takes at least two seconds, so that every gateway can notice", async () => {
    await world.start()
    await world.make()
    await world.pass(5)
    await world.edit({ spec: { restartTime: stampNow() } })
    await world.pass(1.9)
    expect(await world.reason("Draining")).toBe("Restarted")
    await world.pass(0.2)
    expect(await world.instance()).toBeUndefined()
  })

  it("by restarts that are asked for twice is one", async () => {
    await world.start()
    await world.make()
    await world.pass(5)
    await world.edit({ spec: { restartTime: stampNow() } })
    await world.pass(1)
    await world.edit({ spec: { restartTime: stampNow() } })
    await world.pass(5)
    expect(await world.instance()).toBeUndefined()
    await world.make()
    await world.pass(5)
    expect(await world.status()).toMatchObject({ phase: "Ready" })
  })

  it("is not caused by a restartTime that a manifest brings along", async () => {
    await world.start()
    await world.make({ spec: { restartTime: stampNow() } })
    const uid = (await world.instance())?.metadata.uid
    await world.pass(30)
    expect(await world.status()).toMatchObject({ phase: "Ready", starts: 1 })
    await world.edit({ spec: { image: "ghcr.io/org/files:2" } })
    await world.pass(30)
    expect((await world.instance())?.metadata.uid).toBe(uid)
    expect(await world.status()).toMatchObject({ phase: "Ready", starts: 2 })
    expect(await world.reason("Draining")).toBe("NotDraining")
  })

  it("is caused by a later restartTime than the one that a manifest brought along", async () => {
    await world.start()
    await world.make({ spec: { restartTime: stampNow() } })
    await world.pass(30)
    await world.edit({ spec: { restartTime: stampNow() } })
    await world.pass(1)
    expect(await world.reason("Draining")).toBe("Restarted")
    await world.pass(2)
    expect(await world.instance()).toBeUndefined()
  })

  it("is caused by a restart that was asked for before any operator looked", async () => {
    await world.make()
    await world.edit({ spec: { restartTime: stampNow() } })
    await world.start()
    await world.pass(5)
    expect(await world.instance()).toBeUndefined()
  })

  it("is over before the values of its Secret expire", async () => {
    await world.start()
    await world.make({ spec: { secretExpireTime: stampAfter(10 * minutes) } })
    await world.touch({ inUseBy: { "gw-0": "a" } })
    await world.pass(9 * minutes - 10)
    await world.touch({ inUseBy: { "gw-0": "b" } })
    await world.pass(20)
    expect(await world.reason("Draining")).toBe("SecretExpired")
    await world.pass(50)
    expect(await world.instance()).toBeUndefined()
  })

  it("is continued by the next operator", async () => {
    const first = await world.start()
    await world.make()
    await world.pass(5)
    await world.touch({ inUseBy: { "gw-0": "a" } })
    await world.edit({ spec: { restartTime: stampNow() } })
    await world.pass(30)
    await first.close()
    await world.start()
    const gone = await secondsUntilGone(60)
    expect(gone).toBeGreaterThanOrEqual(29)
    expect(gone).toBeLessThanOrEqual(31)
  })
})

describe("the limit of instances", () => {
  const makeMany = async (count: number, from = 0) => {
    for (let index = from; index < from + count; index++) {
      await world.make({ name: `i${String(index).padStart(2, "0")}`, spec: { subjectKey: `user:${index}` } })
    }
  }
  const phases = async () => {
    const { items } = await world.cluster.list(mcpInstanceKind, { namespace })
    const found: Record<string, string[]> = {}
    for (const { metadata, status } of items) {
      const phase = status?.phase ?? "none"
      found[phase] = [...(found[phase] ?? []), metadata.name]
    }
    return found
  }

  it("is never exceeded, terminating ones included, and as many again wait", async () => {
    await world.start({ max_instances: 20 })
    await makeMany(60)
    for (let second = 0; second < 30; second++) {
      await world.pass(1)
      expect((await world.holders()).size).toBeLessThanOrEqual(20)
    }
    const { Ready = [], Queued = [] } = await phases()
    expect(Ready).toHaveLength(20)
    expect(Ready).toContain("i00")
    const reasons = await Promise.all(Queued.map((name) => world.reason("Admitted", name)))
    expect(reasons.filter((reason) => reason === "MaxInstancesReached")).toHaveLength(20)
    expect(reasons.filter((reason) => reason === "QueueFull")).toHaveLength(20)
  })

  it("lets those who wait start as others end, the oldest first", async () => {
    await world.start({ max_instances: 2 })
    await makeMany(4)
    await world.pass(5)
    for (const name of ["i02", "i03"]) await world.touch({ inUseBy: { "gw-0": "a" } }, name)
    await world.cluster.delete(mcpInstanceKind, { namespace, name: "i01" })
    await world.pass(2)
    expect(await world.status("i02"), "the Pod of i01 still terminates").toMatchObject({ phase: "Queued" })
    await world.pass(5)
    expect(await phases()).toEqual({ Ready: ["i00", "i02"], Queued: ["i03"] })
  })

  it("drains the least recently used idle one for somebody who waits", async () => {
    await world.start({ max_instances: 2 })
    await makeMany(2)
    await world.pass(30)
    await world.touch({ lastUsedTime: stampNow() }, "i00")
    await world.pass(70)
    await makeMany(1, 2)
    await world.touch({ inUseBy: { "gw-0": "a" } }, "i02")
    for (let second = 0; second < 15; second++) {
      await world.pass(1)
      expect((await world.holders()).size).toBeLessThanOrEqual(2)
    }
    expect(await phases()).toEqual({ Ready: ["i00", "i02"] })
  })

  it("drains nobody who was used within a minute, until that has passed", async () => {
    await world.start({ max_instances: 1 })
    await makeMany(1)
    await world.pass(70)
    await world.touch({ lastUsedTime: stampNow() }, "i00")
    await makeMany(1, 1)
    await world.touch({ inUseBy: { "gw-0": "a" } }, "i01")
    await world.pass(55)
    expect(await phases()).toEqual({ Ready: ["i00"], Queued: ["i01"] })
    await world.pass(20)
    expect(await phases()).toEqual({ Ready: ["i01"] })
  })

  it("gives the places of failed ones first", async () => {
    world.kubelet.play((pod) =>
      pod.metadata.labels?.[labels.instance] === "i01" ? [{ afterMs: 0, status: () => crashedStatus(1) }] : [],
    )
    await world.start({ max_instances: 2 })
    await makeMany(2)
    await world.pass(70)
    await makeMany(1, 2)
    await world.pass(10)
    expect(await world.instance("i01")).toBeUndefined()
    expect(await world.reason("Admitted", "i02")).toBe("Admitted")
  })

  it("of a target holds for that target alone", async () => {
    await world.makeTarget({ spec: { maxInstances: 1 } })
    await world.start()
    await makeMany(2)
    await world.make({ name: "other", spec: { targetName: "search" } })
    await world.pass(5)
    expect(await phases()).toEqual({ Ready: ["i00", "other"], Queued: ["i01"] })
    expect(await world.reason("Admitted", "i01")).toBe("TargetMaxInstancesReached")
  })

  it("lets go of those in the queue for whom nobody waits, after a minute", async () => {
    await world.start({ max_instances: 1, evict_idle: false })
    await makeMany(3)
    await world.touch({ inUseBy: { "gw-0": "a" } }, "i01")
    await world.pass(55)
    expect(await phases()).toEqual({ Ready: ["i00"], Queued: ["i01", "i02"] })
    await world.pass(10)
    expect(await phases()).toEqual({ Ready: ["i00"], Queued: ["i01"] })
    await world.touch({ inUseBy: { "gw-0": null } }, "i01")
    await world.pass(65)
    expect(await phases()).toEqual({ Ready: ["i00"] })
  })
})

describe("garbage", () => {
  it("of ours without an owner is removed within gc_interval; what is not ours stays", async () => {
    await world.start()
    const ours = { ...recommendedLabels("ghost"), [labels.instance]: "ghost" }
    const spec = { ports: [{ port: 80 }] }
    const base = { apiVersion: serviceKind.apiVersion, kind: serviceKind.kind, spec }
    await world.cluster.create(serviceKind, { ...base, metadata: { name: "ghost", namespace, labels: ours } })
    await world.cluster.create(serviceKind, { ...base, metadata: { name: "theirs", namespace } })
    const pod = {
      apiVersion: podKind.apiVersion,
      kind: podKind.kind,
      spec: { containers: [{ name: "a", image: "a" }] },
    }
    await world.cluster.create(podKind, { ...pod, metadata: { name: "ghost-pod", namespace, labels: ours } })
    await world.pass(70)
    expect((await world.services()).map(({ metadata }) => metadata.name)).toEqual(["theirs"])
    expect(await world.livePods()).toEqual([])
  })
})

describe("an instance that a manifest declares and that is retained", () => {
  const retain = { reclaimPolicy: "Retain" } as const

  it("is not deleted, however long nobody uses it; its Pod is replaced at its own maximum lifetime", async () => {
    await world.start()
    await world.make({ spec: { ...retain, idleTTL: "10s", maxLifetime: "60s" } })
    await world.pass(5)
    const [before] = await world.pods()
    const { uid } = (await world.instance())?.metadata ?? {}
    await world.pass(50)
    expect((await world.pods()).map(({ metadata }) => metadata.uid)).toEqual([before?.metadata.uid])
    await world.pass(300)
    expect((await world.instance())?.metadata.uid).toBe(uid)
    const { starts = 0 } = await world.status()
    // a minute, and the drain, for each
    expect(starts).toBeGreaterThanOrEqual(4)
    expect(starts).toBeLessThanOrEqual(6)
    await world.pass(10)
    expect(await world.status()).toMatchObject({ phase: expect.stringMatching(/Ready|Draining|Starting/) })
  })

  it("is restarted by another Pod, once for each restartTime", async () => {
    await world.start()
    await world.make({ spec: retain })
    await world.pass(5)
    const { uid } = (await world.instance())?.metadata ?? {}
    for (const starts of [2, 3]) {
      await world.edit({ spec: { restartTime: stampNow() } })
      await world.pass(60)
      expect(await world.status()).toMatchObject({ phase: "Ready", starts })
    }
    expect((await world.instance())?.metadata.uid).toBe(uid)
  })

  it("stays while it fails, and starts again by itself", async () => {
    await world.start()
    world.kubelet.play([{ afterMs: 100, status: () => crashedStatus(3, "Error", 5) }])
    await world.make({ spec: retain })
    await world.pass(20 * minutes)
    expect(await world.status()).toMatchObject({ phase: "Failed", failure: { reason: "CrashLoop" } })
    expect(await world.instance()).toBeDefined()
  })

  it("that the same manifest is applied to again and again is written by nobody else", async () => {
    await world.start()
    const made = await world.make({ spec: { ...retain, restartTime: stampAfter(0) } })
    await world.pass(10)
    const [before, starts] = [world.writes.length, (await world.status()).starts]
    for (let round = 0; round < 10; round++) {
      await world.edit({ spec: made.spec })
      await world.pass(60)
    }
    expect(world.writes.slice(before).filter(({ kind }) => kind === "MCPInstance" || kind === "Pod")).toEqual([])
    expect((await world.status()).starts).toBe(starts)
  })
})
