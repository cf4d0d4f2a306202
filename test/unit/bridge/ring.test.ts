import { describe, expect, test } from "vitest"
import { createRing, eventId, readEventId } from "../../../src/bridge/ring.ts"

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

describe("the id of an event", () => {
  test("names its place", () => {
    const place = { stream: 12, sequence: 345 }
    expect(readEventId(eventId(place))).toEqual(place)
  })

  test.for(["", "1", "1-", "-1", "1-2-3", "1-2 ", "a-b", "1-1e3", `1-${"9".repeat(13)}`])("is not %s", (id) => {
    expect(readEventId(id)).toBeUndefined()
  })
})
