import { describe, expect, it } from "vitest"
import type { MCPInstanceStatus } from "../../../src/api/kinds/mcp-instance.ts"
import { type Limits, type Member, planPlaces, toMember } from "../../../src/operator/capacity.ts"
import { aCondition, anInstance } from "../../support/build/instance.ts"
import { msAfter as at, stampAfter } from "../../support/build/metadata.ts"
import { aReadyInstance, draining, inUse, unused } from "../../support/build/snapshot.ts"

const member = (name: string, more: Partial<Member> = {}): Member => ({
  uid: name,
  name,
  targetName: "files",
  createdAt: 0,
  holds: false,
  failed: false,
  idle: false,
  leaving: false,
  wanted: true,
  lastUse: 0,
  ...more,
})
const holder = (name: string, more: Partial<Member> = {}) => member(name, { holds: true, wanted: false, ...more })
const limits = (maxInstances: number, more: Partial<Limits> = {}): Limits => ({
  maxInstances,
  maxOf: () => undefined,
  evictIdle: true,
  ...more,
})
const now = 1_000_000
const plan = (members: readonly Member[], max: Limits, remnants: Parameters<typeof planPlaces>[1] = []) => {
  const { granted, queued, victims } = planPlaces(members, remnants, max, now)
  return { granted: [...granted].sort(), queued: Object.fromEntries(queued), victims: [...victims] }
}

describe("places", () => {
  it("go by creation, then by name", () => {
    const members = [member("c", { createdAt: 1 }), member("b", { createdAt: 1 }), member("a", { createdAt: 2 })]
    expect(plan(members, limits(2))).toMatchObject({ granted: ["b", "c"], queued: { a: "MaxInstancesReached" } })
  })

  it("are not taken from those who have one", () => {
    expect(plan([member("a"), holder("b", { createdAt: 9 })], limits(1)).granted).toEqual(["b"])
  })

  it("are held by the Pods of instances that are gone, until those have ended", () => {
    const remnants = [{ ownerUID: "old", targetName: "files" }]
    expect(plan([member("a")], limits(1), remnants)).toMatchObject({ granted: [], victims: [] })
  })

  it("count an instance once, though it has an old and a new Pod", () => {
    const remnants = [{ ownerUID: "a", targetName: "files" }]
    expect(plan([holder("a"), member("b")], limits(2), [...remnants, ...remnants]).granted).toEqual(["a", "b"])
  })

  it("are limited by target too, and a full target holds up nobody else's", () => {
    const members = [holder("a"), member("b"), member("c", { targetName: "search", createdAt: 5 })]
    const maxOf = (name: string) => (name === "files" ? 1 : undefined)
    expect(plan(members, limits(9, { maxOf }))).toMatchObject({
      granted: ["a", "c"],
      queued: { b: "TargetMaxInstancesReached" },
    })
  })

  it("have a queue of at most as many again", () => {
    const members = [holder("h"), holder("i"), member("a"), member("b"), member("c")]
    expect(plan(members, limits(2)).queued).toEqual({
      a: "MaxInstancesReached",
      b: "MaxInstancesReached",
      c: "QueueFull",
    })
  })
})

describe("making room", () => {
  const idleSince = (seconds: number) => ({ idle: true, lastUse: now - seconds * 1000 })

  it("is for the least recently used one that was idle for over a minute", () => {
    const members = [holder("a", idleSince(61)), holder("b", idleSince(300)), holder("c"), member("d")]
    expect(plan(members, limits(3)).victims).toEqual(["b"])
    expect(plan([holder("a", idleSince(59)), member("d")], limits(1)).victims).toEqual([])
  })

  it("is for failed ones first", () => {
    const members = [holder("a", idleSince(900)), holder("b", { failed: true, lastUse: now }), member("d")]
    expect(plan(members, limits(2)).victims).toEqual(["b"])
  })

  it("ends nobody for those whom nobody waits for", () => {
    expect(plan([holder("a", idleSince(900)), member("d", { wanted: false })], limits(1)).victims).toEqual([])
  })

  it("counts those that leave already, whether as instances or as terminating Pods", () => {
    const idle = holder("a", idleSince(900))
    expect(plan([idle, holder("b", { leaving: true }), member("d")], limits(2)).victims).toEqual([])
    expect(plan([idle, member("d")], limits(2), [{ ownerUID: "x", targetName: "files" }]).victims).toEqual([])
  })

  it("counts each that leaves for one that waits", () => {
    const idle = [holder("a", idleSince(900)), holder("b", idleSince(800))]
    const leaving = [holder("c", { leaving: true }), holder("d", { leaving: true })]
    const waiting = ["e", "f", "g"].map((name) => member(name))
    expect(plan([...idle, ...leaving, ...waiting], limits(4)).victims).toEqual(["a"])
  })

  it("is only within the target if the target is full", () => {
    const members = [holder("a", { ...idleSince(900), targetName: "search" }), holder("b"), member("d")]
    expect(plan(members, limits(9, { maxOf: () => 1 })).victims).toEqual([])
  })

  it("can be switched off", () => {
    expect(plan([holder("a", idleSince(900)), member("d")], limits(1, { evictIdle: false })).victims).toEqual([])
  })
})

describe("an instance as the limits see it", () => {
  const facts = { use: unused, holdsOtherwise: false, now: at(600) }

  it("is idle when it is Ready and nobody uses it", () => {
    expect(toMember(aReadyInstance(), facts)).toMatchObject({ holds: true, idle: true, wanted: false, leaving: false })
    expect(toMember(aReadyInstance(), { ...facts, use: inUse(at(600)) })).toMatchObject({
      idle: false,
      wanted: true,
    })
  })

  it("leaves when it is drained to its end, but not when only its Pod is replaced", () => {
    expect(toMember(draining(aReadyInstance(), "Idle", stampAfter(60)), facts)?.leaving).toBe(true)
    expect(toMember(draining(aReadyInstance(), "SpecChanged", stampAfter(60)), facts)?.leaving).toBe(false)
  })

  it("is wanted while it is new, though nobody has said so yet", () => {
    expect(toMember(anInstance(), { ...facts, now: at(9) })?.wanted).toBe(true)
    expect(toMember(anInstance(), { ...facts, now: at(11) })?.wanted).toBe(false)
  })

  it("asks for no place while its spec is refused or it is being deleted", () => {
    const refused = anInstance({ status: { conditions: [aCondition("Admitted", "False", "InvalidSpec")] } })
    expect(toMember(refused, facts)).toBeUndefined()
    expect(toMember(anInstance({ metadata: { deletionTimestamp: stampAfter(1) } }), facts)).toBeUndefined()
  })
})

describe("an instance that is retained", () => {
  const seen = (status: MCPInstanceStatus) =>
    toMember(aReadyInstance({ spec: { reclaimPolicy: "Retain" }, status }), {
      use: unused,
      holdsOtherwise: true,
      now: at(3_600),
    })

  it("makes room for nobody, idle or failed, and keeps its place while its Pod is replaced", () => {
    const failure = { reason: "CrashLoop", message: "", time: stampAfter(0) }
    const old = [aCondition("Admitted", "True", "Admitted"), aCondition("Draining", "True", "MaxLifetime")]
    const stays = { holds: true, idle: false, failed: false, leaving: false }
    expect(seen({})).toMatchObject(stays)
    expect(seen({ phase: "Failed", failure })).toMatchObject(stays)
    expect(seen({ phase: "Draining", conditions: old })).toMatchObject(stays)
  })
})
