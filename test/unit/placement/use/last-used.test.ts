import { describe, expect, test } from "vitest"
import type { MCPInstance } from "../../../../src/api/kinds/mcp-instance.ts"
import type { Written } from "../../../../src/placement/use/in-use.ts"
import { createUseStamps, recordedUse } from "../../../../src/placement/use/last-used.ts"
import { instance } from "../../../support/build/placed.ts"
import { fakeClock } from "../../../support/fake-clock.ts"

const minute = 60_000

test("a stamp of another clock counts as one that is five minutes ahead, one from beyond tells nothing; a start counts as use", () => {
  const now = Date.parse("2030-01-01T00:10:00Z")
  const at = (lastUsedTime: string, readyTime?: string) =>
    recordedUse(instance({ status: { lastUsedTime, ...(readyTime === undefined ? {} : { readyTime }) } }), now)
  expect(at("2030-01-01T00:05:00Z")).toBe(now - 10 * minute)
  expect(at("2030-01-01T00:15:00Z")).toBe(now)
  expect(at("2030-01-01T00:15:01Z")).toBe(Number.NEGATIVE_INFINITY)
  expect(at("2030-01-01T00:15:01Z", "2030-01-01T00:09:00Z")).toBe(now - 6 * minute)
})

const setUp = (outcome: () => Promise<Written> = async () => "written") => {
  const clock = fakeClock()
  let writes = 0
  let crowded = false
  let known: MCPInstance | undefined = instance({ status: { lastUsedTime: new Date(clock.now()).toISOString() } })
  const stamps = createUseStamps({
    clock,
    idleTTLMs: 30 * minute,
    maxInstances: 100,
    view: {
      get: () => known,
      get size() {
        return crowded ? 81 : 80
      },
    },
    write: () => {
      writes++
      return outcome()
    },
  })
  return {
    clock,
    stamps,
    writes: () => writes,
    touch: () => (known === undefined ? undefined : stamps.touch(known)),
    stream: (ttl: number) => known !== undefined && stamps.touchStream(known, ttl),
    crowd: () => {
      crowded = true
    },
    end: () => {
      known = undefined
    },
    /** The instance has no record of use that counts. */
    start: () => {
      known = instance({ metadata: { creationTimestamp: "2029-12-31T23:00:00Z" } })
    },
  }
}

describe("recording use", () => {
  test("a request that waited for the first readiness writes none: readiness counts as use", async () => {
    const { clock, stamps, touch, writes, start } = setUp()
    start()
    stamps.expectReady("instance-uid")
    await clock.advance(60_000)
    expect(touch()).toBeUndefined()
    expect(writes()).toBe(0)
    await clock.advance(7.5 * minute)
    expect(touch()).toBeUndefined()
    expect(writes()).toBe(1)
  })

  test("a clock that is set back does not hide the next use", async () => {
    const { clock, touch, writes } = setUp()
    await clock.advance(10 * minute)
    void touch()
    await clock.advance(0)
    expect(writes()).toBe(1)
    clock.skew(-60 * minute)
    void touch()
    await clock.advance(0)
    expect(writes()).toBe(2)
  })

  test("a wait does not make an earlier record older", async () => {
    const { clock, stamps, touch, writes, start } = setUp()
    start()
    void touch()
    await clock.advance(0)
    stamps.expectReady("instance-uid")
    await clock.advance(7 * minute)
    void touch()
    expect(writes()).toBe(1)
  })

  test("requests all the time cost one write per quarter of the TTL", async () => {
    const { clock, touch, writes } = setUp()
    for (let second = 0; second < 3600; second += 30) {
      expect(touch()).toBeUndefined()
      await clock.advance(30_000)
    }
    expect(writes()).toBeGreaterThanOrEqual(7)
    expect(writes()).toBeLessThanOrEqual(8)
  })

  test("near the limit of instances they cost one write per 30 s", async () => {
    const { clock, touch, writes, crowd } = setUp()
    crowd()
    for (let second = 0; second < 300; second += 5) {
      touch()
      await clock.advance(5_000)
    }
    expect(writes()).toBeGreaterThanOrEqual(8)
    expect(writes()).toBeLessThanOrEqual(10)
  })

  test("past half of the TTL the write is awaited, by all who come meanwhile, and made once", async () => {
    const pending = Promise.withResolvers<Written>()
    const { clock, touch, writes } = setUp(() => pending.promise)
    await clock.advance(16 * minute)
    const [first, second] = [touch(), touch()]
    expect(first).toBeInstanceOf(Promise)
    expect(second).toBe(first)
    pending.resolve("written")
    expect(await first).toBe("written")
    expect(touch()).toBeUndefined()
    expect(writes()).toBe(1)
  })

  test("after a failed write requests go on without for a while, so that a lost API server does not slow them", async () => {
    const { clock, touch, writes } = setUp(async () => "failed")
    await clock.advance(16 * minute)
    expect(await touch()).toBe("failed")
    expect(touch()).toBeUndefined()
    await clock.advance(5_000)
    expect(touch()).toBeInstanceOf(Promise)
    expect(writes()).toBe(2)
  })

  test("a stream with a longer TTL than the idle TTL goes on counting after its last byte, and then no more", async () => {
    const { clock, stream, writes } = setUp()
    stream(120 * minute)
    await clock.advance(90 * minute)
    const until = writes()
    expect(until).toBeGreaterThanOrEqual(8)
    await clock.advance(300 * minute)
    expect(writes()).toBe(until)
    expect(clock.pending).toBe(0)
  })

  test("a stream stops counting when its instance is gone", async () => {
    const { clock, stream, writes, end } = setUp()
    stream(120 * minute)
    end()
    await clock.advance(120 * minute)
    expect(writes()).toBe(0)
    expect(clock.pending).toBe(0)
  })

  test("closing ends what streams have begun", () => {
    const { clock, stream, stamps } = setUp()
    stream(120 * minute)
    stamps.close()
    expect(clock.pending).toBe(0)
  })
})
