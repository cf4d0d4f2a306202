import { describe, expect, it } from "vitest"
import { durationOf, freed, heldBy, mayBeTaken, sameRenewal } from "../../../src/election/lease.ts"
import { msAfter } from "../../support/build/metadata.ts"

const ref = { namespace: "reflow-system", name: "reflow-operator" }
const first = heldBy(undefined, ref, "a", msAfter(0))
const microTime = (seconds: number) => new Date(msAfter(seconds)).toISOString().replace("Z", "000Z")

describe("a lease", () => {
  it("that is new is held since now, by nobody before", () => {
    expect(first).toMatchObject({ kind: "Lease", metadata: ref })
    expect(first.spec).toEqual({
      holderIdentity: "a",
      leaseDurationSeconds: 15,
      acquireTime: microTime(0),
      renewTime: microTime(0),
      leaseTransitions: 0,
    })
  })

  it("keeps its acquireTime when it is renewed, and counts a transition when another one takes it", () => {
    const renewed = heldBy(first, ref, "a", msAfter(2)).spec
    expect(renewed).toMatchObject({ acquireTime: microTime(0), renewTime: microTime(2), leaseTransitions: 0 })
    const taken = heldBy(first, ref, "b", msAfter(20)).spec
    expect(taken).toMatchObject({ holderIdentity: "b", acquireTime: microTime(20), leaseTransitions: 1 })
  })

  it("that somebody made by hand, with nothing in it, is free and held like any other from then on", () => {
    const { spec: _, ...empty } = first
    expect(mayBeTaken(empty, "b", false)).toBe(true)
    expect(durationOf(empty)).toBe(15_000)
    expect(heldBy(empty, ref, "b", msAfter(1)).spec).toMatchObject({ holderIdentity: "b", leaseTransitions: 1 })
  })

  it.each([
    ["is absent may be taken", undefined, "b", false, true],
    ["is one's own may be taken", first, "a", false, true],
    ["is another one's may not be taken", first, "b", false, false],
    ["is another one's and has run out may be taken", first, "b", true, true],
    ["was freed may be taken", freed(first), "b", false, true],
  ])("that %s", (_, lease, holder, hasRunOut, may) => {
    expect(mayBeTaken(lease, holder, hasRunOut)).toBe(may)
  })

  it("runs out after what its holder wrote; one that was freed, after a second", () => {
    expect([durationOf(first), durationOf(freed(first))]).toEqual([15_000, 1_000])
  })

  it("shows another renewal by its time or its holder", () => {
    expect(sameRenewal(first, heldBy(undefined, ref, "a", msAfter(0)))).toBe(true)
    expect(sameRenewal(first, heldBy(first, ref, "a", msAfter(2)))).toBe(false)
    expect(sameRenewal(first, heldBy(undefined, ref, "b", msAfter(0)))).toBe(false)
  })
})
