import { describe, expect, it } from "vitest"
import type { MCPInstanceStatus } from "../../../src/api/kinds/mcp-instance.ts"
import { createSightings } from "../../../src/operator/sightings.ts"
import { aCondition, anInstance } from "../../support/build/instance.ts"
import { fakeClock } from "../../support/fake-clock.ts"

const uid = anInstance().metadata.uid ?? ""
const minute = 60_000

const watching = () => {
  const clock = fakeClock()
  const sightings = createSightings(clock)
  const stamp = (offset = 0) => new Date(clock.now() + offset).toISOString()
  const see = (status: MCPInstanceStatus = {}) => sightings.see(anInstance({ status }))
  const sinceUse = () => {
    const { lastUse } = sightings.use(uid)
    return lastUse === undefined ? undefined : clock.now() - lastUse
  }
  return { clock, sightings, stamp, see, sinceUse }
}

describe("use", () => {
  it("is as recent as the change of a stamp that was seen, whatever the stamp says", async () => {
    const { clock, stamp, see, sinceUse } = watching()
    see()
    expect(sinceUse()).toBeUndefined()
    await clock.advance(minute)
    see({ lastUsedTime: stamp(-60 * minute) })
    await clock.advance(minute)
    expect(sinceUse()).toBe(minute)
  })

  it("before this operator looked is taken as up to five minutes later than its stamp, but not later than now", () => {
    const first = watching()
    first.see({ lastUsedTime: first.stamp(-20 * minute) })
    expect(first.sinceUse()).toBe(15 * minute)
    const second = watching()
    second.see({ lastUsedTime: second.stamp(+60 * minute) })
    expect(second.sinceUse()).toBe(0)
  })

  it("by a key lasts until 90 s after its last change was seen", async () => {
    const { clock, sightings, see } = watching()
    see({ inUseBy: { a: "1", b: "1" } })
    await clock.advance(60_000)
    see({ inUseBy: { a: "2", b: "1" } })
    expect(sightings.use(uid)).toMatchObject({ live: ["a", "b"], nextExpiry: clock.now() + 30_000 })
    await clock.advance(30_000)
    expect(sightings.use(uid)).toMatchObject({ live: ["a"], expired: ["b"] })
  })

  it("ends when a key is taken away by its gateway, not when a dead one is pruned", async () => {
    const { clock, see, sinceUse } = watching()
    see({ inUseBy: { a: "1" } })
    await clock.advance(80_000)
    see({})
    expect(sinceUse()).toBe(0)
    see({ inUseBy: { a: "3" } })
    await clock.advance(100_000)
    see({})
    expect(sinceUse()).toBe(100_000)
  })

  it("is forgotten with its instance", () => {
    const { sightings, see } = watching()
    see({ inUseBy: { a: "1" } })
    sightings.forget(uid)
    expect(sightings.use(uid).live).toEqual([])
  })
})

describe("a drain", () => {
  it("is dated by when it was first seen, and anew when it begins anew", async () => {
    const { clock, sightings, see } = watching()
    const drain = { conditions: [aCondition("Draining", "True", "Idle")] }
    see(drain)
    const seen = clock.now()
    await clock.advance(minute)
    see(drain)
    expect(sightings.drainSeenAt(uid)).toBe(seen)
    see()
    see(drain)
    expect(sightings.drainSeenAt(uid)).toBe(clock.now())
  })
})

describe("a Pod's sign of trouble", () => {
  it("is dated by when it was first seen, by Pod", async () => {
    const { clock, sightings, see } = watching()
    see()
    sightings.seePod(uid, "p1", "pull")
    const seen = clock.now()
    await clock.advance(5_000)
    expect(sightings.seePod(uid, "p1", "pull")).toMatchObject({ seenAt: seen, signAt: seen })
    expect(sightings.seePod(uid, "p1", "crash")).toMatchObject({ seenAt: seen, signAt: clock.now() })
    expect(sightings.seePod(uid, "p1", undefined).signAt).toBeUndefined()
    expect(sightings.seePod(uid, "p2", "crash")).toMatchObject({ seenAt: clock.now(), signAt: clock.now() })
  })
})
