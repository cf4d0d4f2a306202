import { describe, expect, test } from "vitest"
import { createRing, createRingBudget, eventId, readEventId } from "../../../src/bridge/ring.ts"

const sequencesOf = (ring: ReturnType<typeof createRing>, stream: number, after = 0): readonly number[] =>
  ring.after(stream, after).map(({ sequence }) => sequence)

describe("the ring of a session", () => {
  test("keeps the last 256 events of all streams together", () => {
    const ring = createRing()
    for (let sequence = 1; sequence <= 200; sequence++) {
      ring.add({ stream: 0, sequence, text: "a" })
      ring.add({ stream: 1, sequence, text: "b" })
    }
    expect(sequencesOf(ring, 0)).toEqual(Array.from({ length: 128 }, (_, at) => 73 + at))
    expect(sequencesOf(ring, 1, 198)).toEqual([199, 200])
    expect(sequencesOf(ring, 2)).toEqual([])
  })

  test("keeps at most 4 Mi characters, but always the newest event", () => {
    const ring = createRing()
    for (let sequence = 1; sequence <= 6; sequence++) ring.add({ stream: 0, sequence, text: "x".repeat(2 ** 20) })
    expect(sequencesOf(ring, 0)).toEqual([3, 4, 5, 6])
    ring.add({ stream: 0, sequence: 7, text: "x".repeat(5 * 2 ** 20) })
    expect(sequencesOf(ring, 0)).toEqual([7])
    ring.add({ stream: 0, sequence: 8, text: "x" })
    expect(sequencesOf(ring, 0)).toEqual([8])
  })
})

describe("rings with one budget", () => {
  const mebibyte = "x".repeat(2 ** 20)

  test("keep at most 16 Mi characters together: the largest one loses its oldest events first", () => {
    const budget = createRingBudget()
    const [small, ...large] = Array.from({ length: 6 }, () => createRing(budget))
    small?.add({ stream: 0, sequence: 1, text: "small" })
    for (const ring of large)
      for (let sequence = 1; sequence <= 4; sequence++) {
        ring.add({ stream: 0, sequence, text: mebibyte })
        expect(budget.held).toBeLessThanOrEqual(16 * 2 ** 20)
      }
    expect(small?.after(0, 0)).toHaveLength(1)
    expect(large.at(-1) && sequencesOf(large.at(-1) as ReturnType<typeof createRing>, 0)).toContain(4)
    const kept = large.flatMap((ring) => sequencesOf(ring, 0))
    expect(kept.length).toBeGreaterThan(8)
    expect(kept.length).toBeLessThanOrEqual(16)
  })

  test("give back what they kept", () => {
    const budget = createRingBudget()
    const ring = createRing(budget)
    for (let sequence = 1; sequence <= 300; sequence++) ring.add({ stream: 0, sequence, text: "abc" })
    expect(budget.held).toBe(3 * 256)
    ring.clear()
    expect([budget.held, budget.members.size, ring.after(0, 0)]).toEqual([0, 0, []])
  })

  test("keep no event that is larger than all of them may be", () => {
    const budget = createRingBudget()
    const ring = createRing(budget)
    ring.add({ stream: 0, sequence: 1, text: mebibyte.repeat(17) })
    expect([budget.held, ring.after(0, 0)]).toEqual([0, []])
  })
})

describe("the id of an event", () => {
  test("names its place", () => {
    const place = { stream: 12, sequence: 345 }
    expect(readEventId(eventId(place))).toEqual(place)
  })

  test.for(["", "1", "1-", "-1", "1-2-3", "1-2 ", "a-b", "1-1e3", `1-${"9".repeat(13)}`])("is not %s", (id) => {
    expect(readEventId(id)).toBeUndefined()
  })
})
