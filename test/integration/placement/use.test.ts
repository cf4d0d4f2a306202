import { describe, expect, test } from "vitest"
import { AppError } from "../../../src/errors.ts"
import { condition } from "../../support/build/placed.ts"
import {
  ask,
  bringUp,
  conditions,
  minute,
  only,
  remove,
  report,
  type World,
  world,
} from "../../support/placement-world.ts"

describe("use", () => {
  test("of a call is told from its second second to its end", async () => {
    const w = await world()
    const end = w.placement.beginCall(await bringUp(w))
    await w.clock.advance(2_000)
    expect(Object.keys((await only(w)).status?.inUseBy ?? {})).toEqual(["gw-0"])
    end()
    await w.clock.advance(0)
    expect((await only(w)).status?.inUseBy ?? {}).toEqual({})
  })

  test("of a call is told at once when the instance drains", async () => {
    const w = await world()
    w.placement.beginCall(await bringUp(w))
    await report(w, conditions(condition("Ready", "True"), condition("Draining", "True", "MaxLifetime")))
    expect(Object.keys((await only(w)).status?.inUseBy ?? {})).toEqual(["gw-0"])
  })

  test("of a stream is recorded by its bytes, and by no key", async () => {
    const w = await world()
    const placed = await bringUp(w)
    await w.clock.advance(10 * minute)
    w.placement.touchStream(placed)
    await w.clock.advance(0)
    const { status } = await only(w)
    expect(Date.parse(status?.lastUsedTime ?? "")).toBe(w.clock.now())
    expect(status?.inUseBy).toBeUndefined()
  })

  /** Minutes from a stream's last byte to the last use that is recorded for it. */
  const recordedAfter = async (w: World): Promise<number> => {
    const placed = await bringUp(w)
    // so long after the start that use is recorded at once
    await w.clock.advance(10 * minute)
    w.placement.touchStream(placed)
    const lastByte = w.clock.now()
    await w.clock.advance(400 * minute)
    return (Date.parse((await only(w)).status?.lastUsedTime ?? "") - lastByte) / minute
  }

  test.each([
    ["of the target", "120m", undefined],
    ["of the configuration", undefined, 120 * minute],
    ["of the target, not the configuration's", "120m", 1_000 * minute],
  ])(
    "of a silent stream goes on by the TTL %s, less the idle TTL, and then stops",
    async (_, streamTTL, stream_ttl) => {
      const w = await world(streamTTL === undefined ? {} : { streamTTL }, { stream_ttl })
      // an instance lives an idle TTL of 30 min longer than its last use, and use is recorded each third of that
      const after = await recordedAfter(w)
      expect(after).toBeGreaterThanOrEqual(80)
      expect(after).toBeLessThanOrEqual(90)
    },
  )

  test.each([
    ["without a TTL of streams", undefined],
    ["with one that is no longer than the idle TTL", "30m"],
  ])("of a silent stream %s ends with its last byte", async (_, streamTTL) => {
    const w = await world(streamTTL === undefined ? {} : { streamTTL })
    expect(await recordedAfter(w)).toBe(0)
  })

  test("that meets another write is recorded later, and its instance counts as there", async () => {
    const w = await world()
    const placed = await bringUp(w)
    w.faults.set("patchStatus", new AppError("ApiConflict", { detail: "the object has been modified" }))
    w.placement.beginCall(placed)
    await w.clock.advance(2_000)
    expect((await only(w)).status?.inUseBy).toBeUndefined()
    const next = ask(w)
    await w.clock.advance(0)
    expect(next.placed).toMatchObject({ instanceUID: placed.instanceUID })
    await w.clock.advance(60_000)
    expect(Object.keys((await only(w)).status?.inUseBy ?? {})).toEqual(["gw-0"])
  })

  test("of an instance that is gone writes nothing to its successor", async () => {
    const w = await world()
    const old = await bringUp(w)
    await remove(w)
    await bringUp(w)
    w.placement.beginCall(old)
    await w.clock.advance(10 * minute)
    w.placement.touchStream(old)
    await w.clock.advance(10 * minute)
    expect((await only(w)).status?.inUseBy).toBeUndefined()
    expect((await only(w)).status?.lastUsedTime).toBeUndefined()
  })
})
