import { describe, expect, it } from "vitest"
import { findCondition } from "../../../src/api/kinds/kind.ts"
import type { MCPInstance, MCPInstanceStatus } from "../../../src/api/kinds/mcp-instance.ts"
import type { Pod } from "../../../src/api/kinds/pod.ts"
import { podName } from "../../../src/api/names.ts"
import { checks, decide, decideTrouble, firstVerdict, toSnapshot } from "../../../src/operator/decide.ts"
import type { Refusal, Snapshot } from "../../../src/operator/snapshot.ts"
import { aStdioInstance, aStdioPod, aSupply } from "../../support/build/bridge.ts"
import { aCondition, anInstance } from "../../support/build/instance.ts"
import { birth, msAfter, stampAfter } from "../../support/build/metadata.ts"
import { aPod, crashedStatus, readyStatus, startingStatus, waitingStatus } from "../../support/build/pod.ts"
import { aService } from "../../support/build/service.ts"
import { someSettings } from "../../support/build/settings.ts"
import {
  aReadyInstance,
  aReadySnapshot,
  aSnapshot,
  draining,
  inUse,
  type SnapshotParts,
  unused,
} from "../../support/build/snapshot.ts"
import { aRemoteTarget, aTarget } from "../../support/build/target.ts"

const used = (seconds: number) => ({ ...unused, lastUse: msAfter(seconds) })
const retain = { reclaimPolicy: "Retain" } as const
/** An instance that is retained and Ready, its Pod made at birth unless the parts say otherwise. */
const retained = (seconds: number, parts: SnapshotParts = {}, spec: Partial<MCPInstance["spec"]> = {}) =>
  aReadySnapshot(seconds, { instance: aReadyInstance({ spec: { ...retain, ...spec } }), ...parts })
const failedAt = (seconds: number, more: Partial<MCPInstanceStatus> = {}, spec: Partial<MCPInstance["spec"]> = {}) =>
  anInstance({
    spec,
    status: {
      phase: "Failed",
      failure: { reason: "CrashLoop", message: "", time: stampAfter(seconds) },
      observedGeneration: 1,
      ...more,
    },
  })
const started = (more: MCPInstanceStatus = {}) => anInstance({ status: { starts: 1, observedGeneration: 1, ...more } })
const minute = 60
const ready = aReadyInstance()
const firstPod = podName("files-user-a", "uid-files-user-a", 1)
const ownService = aService({ pod: firstPod })
const predecessor = anInstance({ metadata: { uid: "older" } })
/** Each names the one before it twice. */
const doubling = Array.from({ length: 100 }, (_, at) => ({
  name: `V${at}`,
  value: at === 0 ? "xx" : `$(V${at - 1})`.repeat(2),
}))

/** Which check decides, for each of them at least once, and what is done then. */
const table: readonly [string, Snapshot, keyof typeof checks | "running", readonly string[]][] = [
  [
    "an instance that is being deleted is left alone",
    aSnapshot({ instance: anInstance({ metadata: { deletionTimestamp: birth } }) }),
    "beingDeleted",
    [],
  ],
  [
    "a spec of another version is refused",
    aSnapshot({ instance: anInstance({ spec: { port: -1 } }) }),
    "invalidSpec",
    [],
  ],
  [
    "an instance of a target whose server somebody else runs is refused",
    aSnapshot({ target: aRemoteTarget() }),
    "ofRemoteTarget",
    [],
  ],
  [
    "one that runs since before its target was made again for another server goes on",
    aReadySnapshot(minute, { target: aRemoteTarget() }),
    "running",
    [],
  ],
  [
    "and nothing of such a target is copied into it",
    aSnapshot({
      target: aRemoteTarget({ metadata: { uid: "uid-of-remote", generation: 2 } }),
      instance: anInstance({ spec: { targetUID: "uid-of-remote", targetGeneration: 1 } }),
    }),
    "ofRemoteTarget",
    [],
  ],
  [
    "an unknown pod template is refused",
    aSnapshot({ instance: anInstance({ spec: { podTemplates: [{ name: "x" }] } }) }),
    "unknownTemplate",
    [],
  ],
  [
    "a stdio server is refused without a bridge",
    aSnapshot({ instance: anInstance({ spec: { command: ["server"], stdio: {} } }) }),
    "withoutBridge",
    [],
  ],
  [
    "a stdio server that runs goes on, also under an operator without a bridge",
    aReadySnapshot(minute, {
      instance: { ...ready, spec: { ...ready.spec, command: ["server"], stdio: {} } },
      pod: aPod({
        of: { ...ready, spec: { ...ready.spec, command: ["server"], stdio: {} } },
        status: readyStatus(),
      }),
    }),
    "running",
    [],
  ],
  [
    "root is refused",
    aSnapshot({ instance: anInstance({ spec: { security: { runAsUser: 0 } } }) }),
    "tooPrivileged",
    [],
  ],
  [
    "the group of root is refused",
    aSnapshot({ instance: anInstance({ spec: { security: { runAsGroup: 0 } } }) }),
    "tooPrivileged",
    [],
  ],
  [
    "an environment that doubles with each variable is refused",
    aSnapshot({ instance: anInstance({ spec: { env: doubling } }) }),
    "expandsTooFar",
    [],
  ],
  [
    "a predecessor's children go",
    aSnapshot({ left: { pods: [aPod({ of: predecessor })], services: [aService({ of: predecessor })] } }),
    "predecessors",
    ["deleteService", "deletePod"],
  ],
  [
    "a newer target is followed",
    aSnapshot({
      instance: anInstance({ spec: { targetUID: "uid-files", targetGeneration: 1 } }),
      target: aTarget({ metadata: { generation: 2 }, spec: { image: "new" } }),
    }),
    "followTarget",
    ["patchInstance"],
  ],
  [
    "a newer target that says the same of the container is not",
    aSnapshot({
      instance: anInstance({ spec: { targetUID: "uid-files", targetGeneration: 1 } }),
      target: aTarget({ metadata: { generation: 2 }, spec: { maxInstances: 3 } }),
    }),
    "missingService",
    ["createService"],
  ],
  [
    "a failed one goes after five minutes",
    aSnapshot({ instance: failedAt(0), now: msAfter(5 * minute) }),
    "failedAndUnwaited",
    ["deleteInstance"],
  ],
  [
    "a failed one goes at once if it takes a place that is wanted",
    aSnapshot({ instance: failedAt(0), now: msAfter(1), makesRoom: true }),
    "failedAndUnwaited",
    ["deleteInstance"],
  ],
  [
    "a failed one that somebody waits for stays",
    aSnapshot({
      instance: failedAt(0),
      now: msAfter(5 * minute),
      use: inUse(msAfter(5 * minute)),
      service: ownService,
    }),
    "nextStart",
    [],
  ],
  [
    "a failed one that is retained stays, also if its place is wanted, and starts again",
    aSnapshot({ instance: failedAt(0, {}, retain), now: msAfter(99 * minute), makesRoom: true, service: ownService }),
    "nextStart",
    [],
  ],
  [
    "in the queue one that is retained stays",
    aSnapshot({
      instance: anInstance({ spec: retain }),
      place: { kind: "queued", reason: "QueueFull", wake: [] },
      now: msAfter(99 * minute),
    }),
    "queued",
    [],
  ],
  ["an idle one that is retained stays", retained(99 * minute), "running", []],
  ["one that is retained makes no room", retained(99 * minute, { makesRoom: true }), "running", []],
  ["one that is retained is as old as its Pod: that is drained", retained(24 * 60 * minute), "pastLifetime", []],
  [
    "a Pod of one that is retained which was never Ready is not too old: another one would start as slowly",
    retained(24 * 60 * minute, { instance: { ...started(), spec: anInstance({ spec: retain }).spec } }),
    "running",
    [],
  ],
  [
    "and then replaced",
    retained(24 * 60 * minute, {
      instance: draining(aReadyInstance({ spec: retain }), "MaxLifetime", stampAfter(25 * 60 * minute)),
      drainSeenAt: msAfter(0),
    }),
    "pastLifetime",
    ["deletePod"],
  ],
  [
    "an old one that is retained and has no Pod is given one",
    aSnapshot({ instance: anInstance({ spec: retain }), service: ownService, now: msAfter(24 * 60 * minute) }),
    "nextStart",
    [],
  ],
  [
    "one that is retained is not deleted by a restart: its Pod was made from other inputs",
    retained(minute, { pod: aPod({ status: readyStatus() }) }, { restartTime: stampAfter(50) }),
    "specChanged",
    [],
  ],
  [
    "one that is retained gets another Pod before its Secret expires",
    retained(9 * minute, {}, { secretExpireTime: stampAfter(10 * minute) }),
    "secretExpiring",
    [],
  ],
  [
    "once: a Pod that was made since stays",
    retained(
      99 * minute,
      { pod: aPod({ metadata: { creationTimestamp: stampAfter(11 * minute) }, status: readyStatus() }) },
      { secretExpireTime: stampAfter(10 * minute) },
    ),
    "running",
    [],
  ],
  [
    "once, also by an API server whose clock is behind: a Pod that was first seen since stays",
    retained(
      9 * minute + 9,
      {
        pod: aPod({ metadata: { creationTimestamp: stampAfter(8 * minute) }, status: startingStatus() }),
        sight: { seenAt: msAfter(9 * minute + 8) },
      },
      { secretExpireTime: stampAfter(10 * minute) },
    ),
    "running",
    [],
  ],
  [
    "without a place it is queued",
    aSnapshot({ place: { kind: "queued", reason: "MaxInstancesReached", wake: ["b"] } }),
    "queued",
    [],
  ],
  [
    "in the queue without anybody who waits it goes after a minute",
    aSnapshot({ place: { kind: "queued", reason: "QueueFull", wake: [] }, now: msAfter(minute) }),
    "queued",
    ["deleteInstance"],
  ],
  [
    "a restart begins with a drain",
    aReadySnapshot(minute, {
      instance: aReadyInstance({ metadata: { generation: 2 }, spec: { restartTime: stampAfter(50) } }),
    }),
    "restarted",
    [],
  ],
  [
    "max lifetime begins with a drain",
    aReadySnapshot(24 * 60 * minute, { use: used(24 * 60 * minute) }),
    "pastLifetime",
    [],
  ],
  [
    "an expiring Secret begins with a drain",
    aReadySnapshot(9 * minute, { instance: aReadyInstance({ spec: { secretExpireTime: stampAfter(10 * minute) } }) }),
    "secretExpiring",
    [],
  ],
  ["the chosen one is drained", aReadySnapshot(2 * minute, { makesRoom: true, use: used(50) }), "evicted", []],
  [
    "the chosen one that somebody uses is not",
    aReadySnapshot(2 * minute, { makesRoom: true, use: inUse(msAfter(0)) }),
    "running",
    [],
  ],
  [
    "the chosen one that was used a moment ago is not",
    aReadySnapshot(2 * minute, { makesRoom: true, use: used(80) }),
    "running",
    [],
  ],
  ["an idle one is drained at 1.25 TTL", aReadySnapshot(37.5 * minute), "idle", []],
  ["and not before", aReadySnapshot(37.5 * minute - 1), "running", []],
  [
    "an idle one is not told from its stamps while it is in use",
    aReadySnapshot(99 * minute, { use: inUse(msAfter(0)) }),
    "running",
    [],
  ],
  [
    "an idle one that starts is left to its start's own limit",
    aSnapshot({
      instance: started({ podName: firstPod }),
      pod: aPod({ status: startingStatus() }),
      service: ownService,
      now: msAfter(99 * minute),
      settings: { ...aSnapshot().settings, start_timeout: 1e9 },
    }),
    "running",
    [],
  ],
  [
    "a stranger's Service is a conflict",
    aSnapshot({ serviceNamesake: aService({ metadata: { ownerReferences: [] } }) }),
    "nameConflict",
    [],
  ],
  [
    "of two Pods the older goes",
    aReadySnapshot(minute, {
      pods: [aPod({ status: readyStatus() }), aPod({ start: 7 })],
      pod: undefined,
    }),
    "surplusPods",
    ["deletePod", "deletePod"],
  ],
  [
    "a lost Pod is replaced",
    aReadySnapshot(minute, { pod: aPod({ of: ready, status: { phase: "Failed", reason: "Evicted" } }) }),
    "lostPod",
    ["deletePod"],
  ],
  [
    "a Pod that could not mount the bridge is replaced if the next one gets it in another way",
    aSnapshot({
      instance: aStdioInstance,
      settings: someSettings({ bridge: aSupply({ kind: "Copy", image: "bridge:1" }) }),
      pod: aStdioPod(waitingStatus("CreateContainerError", 'failed to mkdir "": mkdir : no such file or directory')),
    }),
    "bridgeMissing",
    ["deletePod"],
  ],
  [
    "a Pod of other inputs is drained if it has answered",
    aReadySnapshot(minute, { pod: aPod({ of: anInstance({ spec: { image: "old" } }), status: readyStatus() }) }),
    "specChanged",
    [],
  ],
  [
    "a Pod of other inputs is replaced at once if it has not",
    aReadySnapshot(minute, { pod: aPod({ of: anInstance({ spec: { image: "old" } }), status: crashedStatus(1) }) }),
    "specChanged",
    ["deletePod"],
  ],
  [
    "a refused create waits",
    aSnapshot({ instance: started(), service: ownService, refusal: { reason: "QuotaExceeded", message: "" } }),
    "refusedCreate",
    [],
  ],
  [
    "a backoff is waited for",
    aSnapshot({ instance: started({ backoffUntilTime: stampAfter(9), backoffSeconds: 8 }), service: ownService }),
    "backingOff",
    [],
  ],
  [
    "unless the spec was mended",
    aSnapshot({
      instance: anInstance({ metadata: { generation: 2 }, status: { starts: 1, backoffUntilTime: stampAfter(9) } }),
      service: ownService,
    }),
    "missingPod",
    ["createPod"],
  ],
  [
    "a Pod that went away unready is missed for a moment",
    aSnapshot({ instance: started({ podName: firstPod }), service: ownService }),
    "vanishedPod",
    [],
  ],
  [
    "one that went away after it was ready is replaced at once",
    aSnapshot({
      instance: started({ podName: firstPod, readyTime: birth }),
      service: aService({ pod: podName("files-user-a", "uid-files-user-a", 2) }),
    }),
    "nextStart",
    [],
  ],
  ["the Service comes first", aSnapshot(), "missingService", ["createService"]],
  ["the Service follows the Pod", aSnapshot({ service: aService({ pod: "older" }) }), "staleService", ["patchService"]],
  ["the start is counted before its Pod is made", aSnapshot({ service: ownService }), "nextStart", []],
  ["then the Pod", aSnapshot({ instance: started(), service: ownService }), "missingPod", ["createPod"]],
  ["a server that runs needs nothing", aReadySnapshot(minute), "running", []],
]

/** A gateway uses it for as long as one likes. */
const alwaysUsed = { ...unused, live: ["gw-0"] }

/** Nothing is to be done of these yet: only time will tell. */
const waiting: readonly [string, Snapshot][] = [
  ["a failure that is shown for a while", aSnapshot({ instance: failedAt(0), now: msAfter(minute) })],
  ["a server in use, which will be too old", aReadySnapshot(minute, { use: alwaysUsed })],
  [
    "a server in use, whose Secret will expire",
    aReadySnapshot(minute, {
      instance: aReadyInstance({ spec: { secretExpireTime: stampAfter(600 * minute) } }),
      use: alwaysUsed,
    }),
  ],
  ["a server that is used now", aReadySnapshot(minute, { use: inUse(msAfter(minute)) })],
  [
    "a server that starts and says nothing",
    aSnapshot({
      instance: started(),
      service: ownService,
      pod: aPod({ status: startingStatus() }),
      now: msAfter(3),
    }),
  ],
]

describe("the first check that speaks decides", () => {
  it.each(table)("%s", (_, snapshot, check, actions) => {
    const found = firstVerdict(snapshot)
    expect(found.check).toBe(check)
    expect((found.verdict.actions ?? []).map((action) => action.do)).toEqual(actions)
  })

  it.each([...table.map(([name, snapshot]) => [name, snapshot] as const), ...waiting])(
    "and time alone changes nothing of that before the next look: %s",
    (_, { standing: _judged, ...seen }) => {
      const said = (now: number) => {
        const { check, actions, status, requeueAfter } = decide(toSnapshot({ ...seen, now }))
        const reason = findCondition(status.conditions, "Ready")?.reason
        return { requeueAfter, what: { check, actions: actions.map((each) => each.do), phase: status.phase, reason } }
      }
      const { requeueAfter, what } = said(seen.now)
      const soon = Math.min(requeueAfter, 1_000 * 3_600_000)
      for (const share of [0.01, 0.5, 0.999]) expect(said(seen.now + share * soon).what).toEqual(what)
    },
  )

  it("and each check is shown by an example", () => {
    const shown = new Set<string>(table.map(([, , check]) => check))
    expect(Object.keys(checks).filter((check) => !shown.has(check))).toEqual([])
  })
})

describe("a drain", () => {
  const deadline = stampAfter(40 * minute)
  const drains = (reason: string) => draining(ready, reason, deadline)
  const at = (seconds: number, more: Partial<Snapshot> = {}, reason = "Idle") =>
    decide(aReadySnapshot(seconds, { instance: drains(reason), drainSeenAt: msAfter(38 * minute), ...more }))

  it("begins with a deadline", () => {
    const decision = decide(aReadySnapshot(38 * minute))
    expect(decision).toMatchObject({ check: "idle", actions: [], status: { phase: "Draining" } })
    expect(decision.status.drainDeadlineTime).toBe(stampAfter(39 * minute))
  })

  it("ends at once when its Pod has ended, even if its conditions still say that it is Ready", () => {
    const use = inUse(msAfter(39 * minute))
    for (const phase of ["Failed", "Succeeded"] as const) {
      const pod = aPod({ of: ready, status: { ...readyStatus(), phase } })
      const asked = aReadyInstance({
        metadata: { generation: 2 },
        spec: { restartTime: stampAfter(38 * minute) },
      })
      const instance = draining(asked, "Restarted", deadline)
      const decision = at(39 * minute, { instance, pod, use }, "Restarted")
      expect(decision.actions).toMatchObject([
        { do: "deletePod", pod },
        { do: "deleteInstance", reason: "Restarted" },
      ])
    }
  })

  it("gives gateways two seconds, then deletes", () => {
    expect(at(38 * minute + 1.9).actions).toEqual([])
    expect(at(38 * minute + 1.9).requeueAfter).toBe(100)
    expect(at(38 * minute + 2).actions).toMatchObject([{ do: "deleteInstance", reason: "Idle" }])
  })

  it("for idleness is cancelled by a touch", () => {
    const decision = at(38 * minute + 2, { use: used(38 * minute + 1) })
    expect(decision).toMatchObject({ check: "running", actions: [], status: { phase: "Ready" } })
    expect(decision.status.drainDeadlineTime).toBeUndefined()
  })

  it("for eviction is cancelled by a touch, and goes on without one", () => {
    expect(at(36 * minute, { use: inUse(msAfter(36 * minute)) }, "Evicted").check).toBe("running")
    const goesOn = at(36 * minute, { use: used(30 * minute), drainSeenAt: msAfter(35 * minute) }, "Evicted")
    expect(goesOn.actions).toMatchObject([{ do: "deleteInstance", reason: "Evicted" }])
  })

  it("to the end is not cancelled: it waits for open calls until its deadline", () => {
    const instance = draining(aReadyInstance({ spec: { maxLifetime: "30m" } }), "MaxLifetime", deadline)
    const busy = (seconds: number) =>
      decide(aReadySnapshot(seconds, { instance, drainSeenAt: msAfter(38 * minute), use: inUse(msAfter(seconds)) }))
    expect(busy(40 * minute - 1)).toMatchObject({ check: "pastLifetime", actions: [] })
    expect(busy(40 * minute).actions).toMatchObject([{ do: "deleteInstance" }])
  })
})

describe("a drain that nothing cancels, begun 38 minutes after birth", () => {
  const deadline = stampAfter(40 * minute)
  const causes = {
    MaxLifetime: { maxLifetime: "30m" },
    Restarted: { restartTime: stampAfter(38 * minute) },
    SpecChanged: { image: "ghcr.io/org/files:2" },
    SecretExpired: { secretExpireTime: stampAfter(38 * minute) },
  } as const
  type Reason = keyof typeof causes
  type Seen = Readonly<Record<string, string>>

  const at = (reason: Reason, seconds: number, gateways: readonly string[], drainSeenBy?: Seen) => {
    const { metadata, status } = draining(aReadyInstance(), reason, deadline)
    const drained = { ...status, ...(drainSeenBy === undefined ? {} : { drainSeenBy }) }
    const parts = { spec: causes[reason], metadata: { ...metadata, generation: 2 }, status: drained }
    const pod = aPod({ of: aReadyInstance(), status: readyStatus() })
    return decide(
      aReadySnapshot(38 * minute + seconds, {
        instance: aReadyInstance(parts),
        pod,
        gateways,
        drainSeenAt: msAfter(38 * minute),
        use: used(38 * minute),
      }),
    )
  }
  const ends = (decision: ReturnType<typeof decide>) => decision.actions.some((each) => each.do.startsWith("delete"))
  const seen = { a: deadline, b: deadline }

  it.each<[string, Reason, number, readonly string[], Seen | undefined, boolean]>([
    ["is over after two seconds without any gateway", "Restarted", 2, [], undefined, true],
    ["is not over before, though all gateways saw it", "Restarted", 1.9, ["a", "b"], seen, false],
    ["is over then, if all gateways saw it", "Restarted", 2, ["a", "b"], seen, true],
    ["goes on while one gateway did not say so", "Restarted", 2, ["a", "b"], { a: deadline }, false],
    ["goes on while one saw an earlier drain", "SpecChanged", 2, ["a", "b"], { ...seen, b: stampAfter(60) }, false],
    ["does not wait for one that does not live", "MaxLifetime", 2, ["a"], { a: deadline }, true],
    ["waits for lack of any word", "MaxLifetime", 29.9, ["a"], undefined, false],
    ["waits so for a changed spec", "SpecChanged", 29.9, ["a"], undefined, false],
    ["waits so for an expiring Secret", "SecretExpired", 29.9, ["a"], undefined, false],
    ["waits thirty seconds at most", "MaxLifetime", 30, ["a"], undefined, true],
    ["waits thirty seconds at most for a changed spec", "SpecChanged", 30, ["a"], undefined, true],
  ])("%s", (_what, reason, seconds, gateways, drainSeenBy, over) => {
    expect(ends(at(reason, seconds, gateways, drainSeenBy))).toBe(over)
  })

  it("looks each second whether those that it waits for still live, and at the end of its patience", () => {
    expect(at("Restarted", 2, ["a"]).requeueAfter).toBe(1_000)
    expect(at("Restarted", 29.8, ["a"]).requeueAfter).toBe(200)
    expect(at("Restarted", 1.9, ["a"], seen).requeueAfter).toBe(100)
  })

  it("does not wait beyond its deadline", () => {
    const instance = draining(
      aReadyInstance({ spec: { maxLifetime: "30m" } }),
      "MaxLifetime",
      stampAfter(38 * minute + 9),
    )
    const look = (seconds: number) =>
      decide(aReadySnapshot(38 * minute + seconds, { instance, gateways: ["a"], drainSeenAt: msAfter(38 * minute) }))
    expect([ends(look(8.9)), ends(look(9))]).toEqual([false, true])
  })

  it("for eviction waits for gateways too: one that does not know how crowded it is records use seldom", () => {
    const instance = draining(ready, "Evicted", deadline)
    const look = (drainSeenBy?: Seen) => {
      const status = { ...instance.status, ...(drainSeenBy === undefined ? {} : { drainSeenBy }) }
      const parts = { instance: { ...instance, status }, gateways: ["a"], drainSeenAt: msAfter(35 * minute) }
      return decide(aReadySnapshot(35 * minute + 2, { ...parts, use: used(30 * minute) }))
    }
    expect([ends(look()), ends(look({ a: deadline }))]).toEqual([false, true])
  })

  it("for idleness waits for no gateway", () => {
    const instance = draining(ready, "Idle", deadline)
    const idle = { instance, gateways: ["a"], drainSeenAt: msAfter(38 * minute) }
    expect(ends(decide(aReadySnapshot(38 * minute + 2, idle)))).toBe(true)
  })

  it("forgets who saw it when it ends, and who saw another when it begins", () => {
    const { status } = at("SpecChanged", 2, [], seen)
    expect(status).toMatchObject({ drainSeenBy: undefined, drainDeadlineTime: undefined })
    const instance = aReadyInstance({ spec: { maxLifetime: "30m" }, status: { drainSeenBy: { a: stampAfter(60) } } })
    const begins = decide(aReadySnapshot(38 * minute, { instance }))
    expect(begins.statusPatch).toMatchObject({ status: { phase: "Draining", drainSeenBy: null } })
  })
})

describe("the status", () => {
  it("of an unchanged state is not written", () => {
    const instance = { ...ready, status: decide(aReadySnapshot(minute)).status }
    expect(decide(aReadySnapshot(2 * minute, { instance })).statusPatch).toBeUndefined()
  })

  it("of one that is being deleted says so, and no longer that it is Ready", () => {
    const instance = aReadyInstance({ metadata: { deletionTimestamp: stampAfter(50) } })
    const { status } = decide(aReadySnapshot(minute, { instance }))
    const by = Object.fromEntries((status.conditions ?? []).map(({ type, ...rest }) => [type, rest]))
    expect(by.Ready).toMatchObject({ status: "False", reason: "Terminating" })
    expect(by.PodReady).toMatchObject({ status: "True" })
    expect(status.phase, "requests go elsewhere, as in a drain").toBe("Draining")
    expect(decide(aReadySnapshot(2 * minute, { instance: { ...instance, status } })).statusPatch).toBeUndefined()
  })

  it("leaves out a new Pod without an address for ten seconds, so that its address comes in the same write", () => {
    const instance = { ...started(), status: decide(aSnapshot({ instance: started(), service: ownService })).status }
    const pending = aPod({ status: { phase: "Pending" } })
    const look = (seconds: number) =>
      decide(aSnapshot({ instance, service: ownService, pod: pending, now: msAfter(seconds) }))
    expect(look(9.9).statusPatch).toBeUndefined()
    expect(look(10).statusPatch).toMatchObject({ status: { podName: firstPod, phase: "Starting" } })
  })

  it("forgets the Pod, and keeps its name until the next start is counted", () => {
    const status = { podName: firstPod, podIP: "10.1.0.7", incarnation: "x.0", readyTime: birth }
    const gone = aSnapshot({ instance: started({ ...status, backoffUntilTime: stampAfter(9) }), service: ownService })
    expect(decide(gone).status).toMatchObject({ podName: firstPod, podIP: undefined, incarnation: undefined })
    const service = aService({ pod: podName("files-user-a", "uid-files-user-a", 2) })
    const next = decide(aSnapshot({ instance: started(status), service })).status
    expect(next).toMatchObject({ starts: 2, podName: undefined, readyTime: undefined })
  })

  it("keeps when a failure was first seen, and never dates it before its Pod", () => {
    const pod = aPod({ metadata: { creationTimestamp: stampAfter(5 * minute) }, status: crashedStatus(1) })
    const early = aSnapshot({ instance: started(), pod, service: ownService, now: msAfter(10) })
    const standing = { ready: false, reason: "CrashLoop", message: "", failed: { exitCode: 1 } } as const
    const failed = { ...early, standing }
    const { status } = decide(failed)
    expect(status.failure).toMatchObject({ exitCode: 1, time: stampAfter(5 * minute) })
    const later = decide({ ...failed, instance: { ...started(), status }, now: msAfter(6 * minute) })
    expect(later.status.failure?.time).toBe(stampAfter(5 * minute))
  })

  it.each<[string, Partial<MCPInstance["spec"]>]>([
    ["the group of root", { security: { runAsGroup: 0, fsGroup: 0 } }],
    ["an environment that doubles", { env: doubling }],
  ])("leaves a server alone that an earlier version started with %s", (_, spec) => {
    const instance = anInstance({ spec, status: { starts: 1, observedGeneration: 1 } })
    const pod = aPod({ of: instance, status: readyStatus() })
    const decided = (by: Pod) => firstVerdict(aSnapshot({ instance, service: ownService, pod: by })).check
    expect(decided(pod)).not.toMatch(/tooPrivileged|expandsTooFar/)
    const other = aPod({ of: anInstance({ spec: { args: ["other"] } }), status: readyStatus() })
    expect(decided(other)).toMatch(/tooPrivileged|expandsTooFar/)
  })

  it("doubles the backoff with each refusal, up to five minutes, or to 30 s while a webhook is down", () => {
    const seconds = (before: number | undefined, reason: Refusal["reason"] = "PodForbidden") => {
      const refusal = { reason, message: "" }
      const instance = started(before === undefined ? {} : { backoffSeconds: before })
      return decide(aSnapshot({ instance, service: ownService, refusal })).status.backoffSeconds
    }
    expect([undefined, 1, 2, 200, 300].map((before) => seconds(before))).toEqual([1, 2, 4, 300, 300])
    expect([16, 30].map((before) => seconds(before, "WebhookFailed"))).toEqual([30, 30])
  })

  it("loses the keys of dead gateways", () => {
    const instance = aReadyInstance({ status: { ...ready.status, inUseBy: { dead: "a", alive: "b" } } })
    const use = { live: ["alive"], expired: ["dead"], nextExpiry: msAfter(90), lastUse: msAfter(0) }
    const decision = decide(aReadySnapshot(minute, { instance, use }))
    expect(decision.statusPatch).toMatchObject({ status: { inUseBy: { dead: null } } })
  })

  it("tells a queued one's reason, and wakes those who could make room", () => {
    const place = { kind: "queued", reason: "TargetMaxInstancesReached", wake: ["b"] } as const
    const decision = decide(aSnapshot({ place }))
    expect(decision).toMatchObject({ wake: ["b"], status: { phase: "Queued" } })
    expect(decision.status.conditions?.[0]).toMatchObject({ type: "Admitted", status: "False", reason: place.reason })
  })

  it("says each thing once in Events", () => {
    const instance = anInstance({ status: { conditions: [aCondition("Ready", "False", "Starting")], starts: 1 } })
    const snapshot = aReadySnapshot(minute, { instance })
    expect(decide(snapshot).notes.map(({ reason }) => reason)).toEqual(["Ready"])
    expect(decide({ ...snapshot, instance: { ...instance, status: decide(snapshot).status } }).notes).toEqual([])
  })
})

describe("what stopped the operator", () => {
  const words = "delete pods: read tcp 10.0.0.1:40123->10.0.0.7:8443: connection reset by peer"
  const readyOf = ({ conditions }: MCPInstanceStatus) => conditions?.find(({ type }) => type === "Ready")

  it("is told by the condition Ready, and changes nothing else", () => {
    const place = { kind: "queued", reason: "MaxInstancesReached", wake: [] } as const
    const failed = failedAt(9, { conditions: [aCondition("Ready", "False", "CrashLoop")], backoffSeconds: 8 })
    const unseen = { ...failed, metadata: { ...failed.metadata, generation: 2 } }
    const waiting = anInstance({ status: decide(aSnapshot({ place })).status })
    const ending = draining(aReadyInstance(), "Restarted", stampAfter(minute))
    const down = { ready: false, reason: "NotReady", message: "" } as const
    for (const snapshot of [
      aSnapshot({ instance: waiting, place }),
      aSnapshot({ instance: unseen }),
      aReadySnapshot(minute, { instance: ending, standing: down }),
    ]) {
      const { conditions: _, ...kept } = snapshot.instance.status ?? {}
      const others = snapshot.instance.status?.conditions?.filter(({ type }) => type !== "Ready") ?? []
      const { status, notes } = decideTrouble(snapshot, words) ?? {}
      expect(status).toMatchObject(kept)
      expect(status?.conditions).toEqual(expect.arrayContaining(others))
      expect(readyOf(status ?? {})).toMatchObject({ status: "False", reason: "ReconcileFailed", message: words })
      expect(notes?.map(({ reason }) => reason)).toEqual(["ReconcileFailed"])
    }
  })

  it("is told by an Event alone of a server that takes requests", () => {
    const decision = decideTrouble(aReadySnapshot(minute), words)
    expect(decision).toMatchObject({
      statusPatch: undefined,
      actions: [],
      notes: [{ type: "Warning", reason: "ReconcileFailed", note: words }],
    })
  })

  it("is not told again where a number in its words is all that differs", () => {
    const status = decideTrouble(aSnapshot(), words)?.status ?? {}
    const again = (said: string) => decideTrouble(aSnapshot({ instance: anInstance({ status }) }), said)
    expect(again(words.replace("40123", "40999"))).toBeUndefined()
    expect(readyOf(again("delete pods: forbidden")?.status ?? {})?.message).toBe("delete pods: forbidden")
  })
})
