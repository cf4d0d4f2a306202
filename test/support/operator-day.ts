/** A day in the life of an operator: people come and go, things break, leaders change, and nothing of it may do harm. */
import type { Intercept } from "../../src/adapters/memory/client.ts"
import { controllerUID, findCondition } from "../../src/api/kinds/kind.ts"
import { type MCPInstance, mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import { mcpTargetKind } from "../../src/api/kinds/mcp-target.ts"
import { type Pod, podKind } from "../../src/api/kinds/pod.ts"
import { AppError, hasCode } from "../../src/errors.ts"
import type { Operator } from "../../src/operator/controller.ts"
import type { Settings } from "../../src/operator/snapshot.ts"
import type { MergePatch } from "../../src/ports/cluster.ts"
import { crashedStatus, readyStatus } from "./build/pod.ts"
import { healthy } from "./fake-kubelet.ts"
import { createFaults } from "./faults.ts"
import { disorder, watchPods, watchUse } from "./operator-invariants.ts"
import { type OperatorWorld, operatorWorld } from "./operator-world.ts"

const namespace = "reflow"

/** Something that happens, `after` so many seconds. */
export type DayStep = { readonly after: number } & (
  | { readonly do: "call"; readonly name: string; readonly seconds: number }
  | { readonly do: "restart" | "secret" | "delete" | "crash" | "killPod" | "evictPod"; readonly name: string }
  | { readonly do: "edit"; readonly name: string; readonly version: number }
  | { readonly do: "target"; readonly version: number }
  | { readonly do: "node"; readonly works: boolean }
  | { readonly do: "away" | "lag"; readonly seconds: number }
  | { readonly do: "leader"; readonly ends: "orderly" | "killed" | "late"; readonly down: number }
)
type NamedStep = Extract<DayStep, { readonly name: string }>

/** Gateways renew their keys so often. */
const renewSeconds = 30
/** How much an operator still writes that does not know yet that another one leads. */
const lateWrites = 20
/** An operator that works puts everything right within so many seconds. */
const patienceSeconds = 10

const isWrite = (verb: string): boolean => !["get", "list", "watch"].includes(verb)

/** An operator whose way to the API server can be cut, for a while or for good after some more writes, or become slow. */
const createLeader = async (world: OperatorWorld, settings: Partial<Settings>) => {
  const way = { open: true, writesLeft: Number.POSITIVE_INFINITY, lagSeconds: 0, behindUntil: 0 }
  const { frames, lag } = createFaults(world.clock)
  const intercept: Intercept = {
    call: (call, run) => {
      if (isWrite(call.verb)) way.writesLeft -= 1
      if (way.open && way.writesLeft >= 0) return run()
      throw new AppError("ClusterUnavailable", { detail: "The API server does not answer." })
    },
    ...(frames === undefined ? {} : { frames }),
  }
  const operator: Operator = await world.start(settings, intercept)
  const slow = (seconds: number): void => {
    // what is on its way already comes no sooner
    way.behindUntil = Math.max(way.behindUntil, world.clock.now() + way.lagSeconds * 1000)
    way.lagSeconds = seconds
    lag(seconds * 1000)
  }
  return { way, slow, close: operator.close }
}

/** True if gateways send nothing new to the instance: it drains, and no use cancels that. */
const isHeld = ({ status }: MCPInstance): boolean => {
  const draining = findCondition(status?.conditions, "Draining")
  return draining?.status === "True" && !["Idle", "Evicted"].includes(draining.reason)
}

/** The gateways of the day: a call holds a key on its user's instance, and makes that first if there is none. */
const createGateways = (world: OperatorWorld) => {
  /** Until when each user's call lasts, and the instance that its key is on. */
  const calls = new Map<string, { until: number; uid: string | undefined }>()
  let renewals = 0

  /** False if there is no such instance (any more). */
  const touch = async (status: MergePatch, name: string): Promise<boolean> => {
    try {
      await world.touch(status, name)
      return true
    } catch (error) {
      if (hasCode(error, "ApiNotFound")) return false
      throw error
    }
  }
  const make = async (name: string): Promise<void> => {
    const target = await world.cluster.get(mcpTargetKind, { namespace, name: "files" })
    const { uid = "", generation = 1 } = target?.metadata ?? {}
    const image = target?.spec.image ?? ""
    await world.make({
      name,
      spec: { subjectKey: `user:${name}`, image, targetUID: uid, targetGeneration: generation },
    })
  }
  const keep = async (name: string): Promise<void> => {
    const call = calls.get(name)
    if (call === undefined) return
    if ((await world.instance(name)) === undefined) await make(name)
    const instance = await world.instance(name)
    // whoever comes during a drain that nobody can cancel waits for what comes after it
    if (instance === undefined || (isHeld(instance) && call.uid !== instance.metadata.uid)) return
    if (await touch({ inUseBy: { "gw-0": String(renewals++) } }, name)) call.uid = instance.metadata.uid
  }
  const end = async (name: string): Promise<void> => {
    calls.delete(name)
    await touch({ inUseBy: { "gw-0": null }, lastUsedTime: new Date(world.clock.now()).toISOString() }, name)
  }
  return {
    isUsed: (name: string, uid: string | undefined) => uid !== undefined && calls.get(name)?.uid === uid,
    begin: (name: string, seconds: number): Promise<void> => {
      const before = calls.get(name)
      const until = Math.max(world.clock.now() + seconds * 1000, before?.until ?? 0)
      calls.set(name, { until, uid: before?.uid })
      return keep(name)
    },
    tick: async (): Promise<void> => {
      for (const [name, { until }] of [...calls]) await (until <= world.clock.now() ? end(name) : keep(name))
    },
    endAll: async (): Promise<void> => {
      for (const name of [...calls.keys()]) await end(name)
    },
  }
}

/** What breaks on the node. */
const breakPod = async (world: OperatorWorld, pod: Pod, how: "crash" | "killPod" | "evictPod"): Promise<void> => {
  const { name } = pod.metadata
  if (how === "killPod") return void (await world.cluster.delete(podKind, { namespace, name }))
  if (how === "evictPod") return world.kubelet.set(name, { ...crashedStatus(137), phase: "Failed", reason: "Evicted" })
  const restartCount = (pod.status?.containerStatuses?.[0]?.restartCount ?? 0) + 1
  await world.kubelet.set(name, crashedStatus(1, "Error", restartCount))
  await world.pass(2)
  const isThere = (await world.livePods()).some(({ metadata }) => metadata.uid === pod.metadata.uid)
  if (isThere) await world.kubelet.set(name, readyStatus({ restartCount }))
}

/** A day that is being played. */
export type Day = {
  readonly world: OperatorWorld
  /** Lets everything fall due that comes before the step, then plays it; fails on the first thing that must not be so. */
  play(step: DayStep): Promise<void>
  /** Lets so many seconds pass. */
  pass(seconds: number): Promise<void>
  /** A call of a user begins and lasts so many seconds. */
  call(name: string, seconds: number): Promise<void>
  /** Node and watches work again, all calls end, and nobody comes any more. */
  rest(): Promise<void>
  close(): Promise<void>
}

/** What of the operator's settings a day is about; times in milliseconds. */
export type DaySettings = Partial<Settings> & Pick<Settings, "max_instances" | "max_lifetime">

/** Begins a day. Close it. */
export const beginDay = async (settings: DaySettings): Promise<Day> => {
  const world = operatorWorld()
  const gateways = createGateways(world)
  const byHand = new Set<string | undefined>()
  const watches = [
    watchPods(world.cluster, namespace, settings.max_instances),
    watchUse(world.cluster, namespace, {
      clock: world.clock,
      isUsed: ({ metadata }) => gateways.isUsed(metadata.name, metadata.uid),
      mayEnd: ({ metadata, spec }) =>
        spec.restartTime !== undefined ||
        world.clock.now() - Date.parse(metadata.creationTimestamp ?? "") >= settings.max_lifetime,
      isByHand: (uid) => byHand.has(uid),
    }),
  ]
  await world.makeTarget()
  let leader = await createLeader(world, settings)

  const check = async (): Promise<void> => {
    const problems = watches.flatMap((each) => each.problems)
    if (problems.length > 0) throw new Error(problems.join("\n"))
    const { open, writesLeft, lagSeconds, behindUntil } = leader.way
    if (!open || writesLeft < Number.POSITIVE_INFINITY || lagSeconds > 0) return
    let wrong = await disorder(world.cluster, namespace)
    const patience = patienceSeconds + Math.max(0, behindUntil - world.clock.now()) / 1000
    for (let second = 0; wrong.length > 0 && second < patience; second++) {
      await world.pass(1)
      wrong = await disorder(world.cluster, namespace)
    }
    if (wrong.length > 0) throw new Error(wrong.join("\n"))
  }
  const pass = async (seconds: number): Promise<void> => {
    for (let left = seconds; left > 0; left -= renewSeconds) {
      await world.pass(Math.min(left, renewSeconds))
      await gateways.tick()
    }
    await check()
  }
  const change = async (ends: "orderly" | "killed" | "late", down: number): Promise<void> => {
    const old = leader
    if (ends === "killed") {
      old.way.writesLeft = down % 4
      await pass(down)
    }
    if (ends !== "late") await old.close()
    if (ends === "orderly") await world.pass(down)
    // one that was frozen wakes and does what it was about to do; two that know differently long of a use would
    // otherwise begin and cancel a drain in turns for as long as both lead, and here a write takes no time
    if (ends === "late") old.way.writesLeft = lateWrites
    leader = await createLeader(world, settings)
    if (ends !== "late") return
    await world.pass(down % 10)
    await old.close()
  }
  const onInstance = async (step: NamedStep): Promise<void> => {
    const { name } = step
    if (step.do === "call") return gateways.begin(name, step.seconds)
    const instance = await world.instance(name)
    if (instance === undefined) return
    const pod = (await world.livePods()).find((each) => controllerUID(each) === instance.metadata.uid)
    const now = new Date(world.clock.now()).toISOString()
    switch (step.do) {
      case "restart":
        return world.edit({ spec: { restartTime: now } }, name)
      case "secret":
        return world.edit({ spec: { secretName: `values-${world.clock.now()}` } }, name)
      case "edit":
        return world.edit({ spec: { image: `ghcr.io/org/files:${step.version}` } }, name)
      case "delete":
        byHand.add(instance.metadata.uid)
        return void (await world.cluster.delete(mcpInstanceKind, { namespace, name }))
      default:
        byHand.add(pod?.metadata.uid)
        if (pod !== undefined) await breakPod(world, pod, step.do)
    }
  }
  const happen = async (step: DayStep): Promise<void> => {
    switch (step.do) {
      case "target": {
        const patch = { spec: { image: `ghcr.io/org/files:${step.version}` } }
        return void (await world.cluster.mergePatch(mcpTargetKind, { namespace, name: "files" }, patch))
      }
      case "node":
        return world.kubelet.play(step.works ? healthy : [{ afterMs: 100, status: () => crashedStatus(1) }])
      case "away":
        leader.way.open = false
        await pass(step.seconds)
        leader.way.open = true
        return
      case "lag":
        return leader.slow(step.seconds)
      case "leader":
        return change(step.ends, step.down)
      default:
        return onInstance(step)
    }
  }
  return {
    world,
    pass,
    call: gateways.begin,
    play: async (step) => {
      await pass(step.after)
      await happen(step)
      await check()
    },
    rest: async () => {
      world.kubelet.play(healthy)
      leader.slow(0)
      await gateways.endAll()
    },
    close: async () => {
      await Promise.all(watches.map((each) => each.close()))
      await world.close()
    },
  }
}
