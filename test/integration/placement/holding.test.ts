import { describe, expect, test } from "vitest"
import { fromSecretData, secretKind } from "../../../src/api/kinds/kubernetes.ts"
import type { MCPInstanceStatus } from "../../../src/api/kinds/mcp-instance.ts"
import { setScope } from "../../../src/credentials/store.ts"
import { condition, readyStatus } from "../../support/build/placed.ts"
import { identity } from "../../support/build/who.ts"
import {
  ask,
  bringUp,
  conditions,
  namespace,
  only,
  pod,
  remove,
  report,
  service,
  signal,
  world,
} from "../../support/placement-world.ts"

describe("an instance that cannot run", () => {
  const crash = (more: Partial<MCPInstanceStatus> = {}): MCPInstanceStatus => ({
    phase: "Failed",
    podName: "p",
    ...conditions(condition("Ready", "False", "CrashLoop", "exited with 3")),
    failure: { reason: "CrashLoop", message: "exited with 3", exitCode: 3 },
    ...more,
  })

  test("is told to those who wait and to those who come, at once", async () => {
    const w = await world()
    const waiting = ask(w)
    await w.clock.advance(0)
    await report(w, crash())
    await w.clock.advance(0)
    const next = ask(w)
    await w.clock.advance(0)
    for (const { error } of [waiting, next])
      expect(error).toMatchObject({ code: "InstanceFailed", data: { reason: "CrashLoop", exit_code: 3 } })
  })

  test("is waited for again as soon as the operator starts anew", async () => {
    const w = await world()
    ask(w)
    await w.clock.advance(0)
    await report(w, crash())
    await report(w, { phase: "Starting", starts: 2, ...conditions(condition("Ready", "False", "ContainerStarting")) })
    const asked = ask(w)
    await w.clock.advance(0)
    expect(asked.error).toBeUndefined()
    w.answering.add(pod)
    await report(w, { podURL: pod, incarnation: "q.0" })
    await w.clock.advance(300)
    expect(asked.placed).toMatchObject({ incarnation: "q.0" })
  })
})

describe("holding", () => {
  test("ends with 503 and the scheduler's words, while the instance stays for the next", async () => {
    const w = await world()
    const asked = ask(w)
    await w.clock.advance(0)
    await report(w, { phase: "Pending", ...conditions(condition("Ready", "False", "Unschedulable", "0/3 nodes: cpu")) })
    await w.clock.advance(45_000)
    expect(asked.error).toMatchObject({
      code: "InstanceStarting",
      data: { reason: "Unschedulable", message: "0/3 nodes: cpu" },
    })
    expect(asked.error?.retryAfterSeconds).toBeGreaterThan(0)
    await bringUp(w)
  })

  test("in the queue ends with 429, and a full queue answers so at once", async () => {
    const w = await world()
    const queued = (reason: string) =>
      report(w, { phase: "Queued", ...conditions(condition("Admitted", "False", reason)) })
    const asked = ask(w)
    await w.clock.advance(0)
    await queued("MaxInstancesReached")
    await w.clock.advance(44_000)
    expect(asked.error).toBeUndefined()
    await w.clock.advance(1_000)
    expect(asked.error).toMatchObject({ code: "CapacityExceeded" })
    expect(asked.error?.retryAfterSeconds).toBeGreaterThan(0)
    await queued("QueueFull")
    const full = ask(w)
    await w.clock.advance(0)
    expect(full.error).toMatchObject({ code: "CapacityExceeded" })
  })

  test("tells the operator that somebody waits, from the second second until just after the end", async () => {
    const w = await world()
    const client = new AbortController()
    const asked = ask(w, { signal: client.signal })
    await w.clock.advance(1_400)
    expect((await only(w)).status?.inUseBy).toBeUndefined()
    await w.clock.advance(200)
    expect(Object.keys((await only(w)).status?.inUseBy ?? {})).toEqual(["gw-0"])
    client.abort()
    await asked.promise
    await w.clock.advance(1_400)
    expect(Object.keys((await only(w)).status?.inUseBy ?? {})).toEqual(["gw-0"])
    await w.clock.advance(100)
    expect((await only(w)).status?.inUseBy ?? {}).toEqual({})
  })

  test("an instance that drains for idleness cancels the drain at once", async () => {
    const w = await world()
    await bringUp(w)
    await report(w, conditions(condition("Ready", "True"), condition("Draining", "True", "Idle")))
    const asked = ask(w)
    await w.clock.advance(0)
    expect(asked.placed).toBeUndefined()
    expect(Object.keys((await only(w)).status?.inUseBy ?? {})).toEqual(["gw-0"])
    await report(w, conditions(condition("Ready", "True"), condition("Draining", "False", "NotDraining")))
    await asked.promise
    expect(asked.placed).toBeDefined()
  })

  test("an instance that drains for good is not kept alive by it; its end makes a new one", async () => {
    const w = await world()
    const before = await bringUp(w)
    await report(w, conditions(condition("Ready", "True"), condition("Draining", "True", "Restarted")))
    const asked = ask(w)
    await w.clock.advance(10_000)
    expect((await only(w)).status?.inUseBy ?? {}).toEqual({})
    await remove(w)
    await w.clock.advance(0)
    expect((await only(w)).metadata.uid).not.toBe(before.instanceUID)
    await report(w, readyStatus({ url: service, podURL: pod, incarnation: "new.0" }))
    await w.clock.advance(300)
    expect(asked.placed).toMatchObject({ incarnation: "new.0" })
  })

  test("a drain lets through what belongs to an open call", async () => {
    const w = await world()
    await bringUp(w)
    await report(w, conditions(condition("Ready", "True"), condition("Draining", "True", "Restarted")))
    const asked = ask(w, { mode: "find", continues: true })
    await asked.promise
    expect(asked.placed).toBeDefined()
  })
})

describe("credentials that changed hands", () => {
  test("an identity that lost a group has its instance restarted once, and the next is made without the group's values", async () => {
    const w = await world()
    const who = { issuer: "corp", name: "eng" }
    await setScope({
      cluster: w.cluster,
      target: w.target,
      namespace,
      scope: "group",
      who,
      values: { T: "team" },
      signal,
    })
    const before = await bringUp(w, { who: identity({ groups: ["eng"] }) })
    const asked = [ask(w), ask(w), ask(w)]
    await w.clock.advance(100)
    expect(asked.every(({ placed, error }) => placed === undefined && error === undefined)).toBe(true)
    expect((await only(w)).spec.restartTime).toBeDefined()
    expect(w.calls.filter((call) => call.startsWith("mergePatch"))).toHaveLength(1)
    await remove(w)
    const instance = await only(w)
    expect(instance.metadata.uid).not.toBe(before.instanceUID)
    const secret = await w.cluster.get(secretKind, { namespace, name: instance.spec.secretName ?? "" })
    expect(fromSecretData(secret?.data)).toEqual({})
  })
})
