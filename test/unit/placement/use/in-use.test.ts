import { describe, expect, test } from "vitest"
import {
  createInUseMarks,
  type InstanceId,
  type InUseMarks,
  type Written,
} from "../../../../src/placement/use/in-use.ts"
import type { Marks } from "../../../../src/placement/use/other-marks.ts"
import { fakeClock } from "../../../support/fake-clock.ts"

const alice: InstanceId = { name: "github-user-alice", uid: "uid-1" }

const setUp = () => {
  const clock = fakeClock()
  const writes: string[] = []
  const answers: Written[] = []
  let shown: Marks = {}
  const marks = createInUseMarks({
    clock,
    write: async ({ uid }, open) => {
      writes.push(`${open ? "set" : "remove"} ${uid}`)
      return answers.shift() ?? "written"
    },
    replica: "own",
    marksOn: () => shown,
  })
  return {
    clock,
    writes,
    answers,
    marks,
    /** Shows the marks that the object has. */
    show: (now: Marks) => {
      shown = now
    },
  }
}

describe("this replica's mark in inUseBy", () => {
  test("a call shorter than a second and a half writes nothing", async () => {
    const { clock, writes, marks } = setUp()
    const end = marks.beginCall(alice)
    await clock.advance(1_400)
    end()
    await clock.advance(60_000)
    expect(writes).toEqual([])
    expect(clock.pending).toBe(0)
  })

  test("a longer call sets the mark from its second second, renews it every 30 s and removes it at its end", async () => {
    const { clock, writes, marks } = setUp()
    const end = marks.beginCall(alice)
    await clock.advance(2_000)
    expect(writes).toEqual(["set uid-1"])
    await clock.advance(60_000)
    expect(writes).toEqual(["set uid-1", "set uid-1", "set uid-1"])
    end()
    end()
    await clock.advance(0)
    expect(writes.slice(3)).toEqual(["remove uid-1"])
    await clock.advance(120_000)
    expect(writes).toHaveLength(4)
  })

  test("the end of one of two calls keeps the mark", async () => {
    const { clock, writes, marks } = setUp()
    const [first, second] = [marks.beginCall(alice), marks.beginCall(alice)]
    await clock.advance(2_000)
    first()
    await clock.advance(10_000)
    expect(writes).toEqual(["set uid-1"])
    second()
    await clock.advance(0)
    expect(writes).toEqual(["set uid-1", "remove uid-1"])
  })

  test("waiting requests count as calls do, from the fifth second", async () => {
    const { clock, writes, marks } = setUp()
    marks.setWaiting(alice, true, false)
    await clock.advance(4_400)
    expect(writes).toEqual([])
    await clock.advance(100)
    marks.setWaiting(alice, false, false)
    await clock.advance(0)
    expect(writes).toEqual(["set uid-1", "remove uid-1"])
    expect(clock.pending).toBe(0)
  })

  test("waiting requests set it from the second second on an instance that was created here", async () => {
    const { clock, writes, marks } = setUp()
    marks.setWaiting(alice, true, false)
    await clock.advance(1_000)
    marks.lead(alice.uid)
    await clock.advance(500)
    expect(writes).toEqual(["set uid-1"])
  })

  test("a wait longer than the delay sets it at once when the creation turns out to be of this gateway", async () => {
    const { clock, writes, marks } = setUp()
    marks.setWaiting(alice, true, false)
    await clock.advance(3_000)
    marks.lead(alice.uid)
    await clock.advance(0)
    expect(writes).toEqual(["set uid-1"])
    marks.lead("unknown")
  })

  test("the mark of a wait stays for the calls that follow it, and is not written again for them", async () => {
    const { clock, writes, marks } = setUp()
    marks.setWaiting(alice, true, false)
    await clock.advance(5_000)
    marks.endWait(alice.uid)
    await clock.advance(1_000)
    const end = marks.beginCall(alice)
    await clock.advance(10_000)
    expect(writes).toEqual(["set uid-1"])
    await clock.advance(20_000)
    expect(writes).toEqual(["set uid-1", "set uid-1"])
    end()
    await clock.advance(0)
    expect(writes.slice(2)).toEqual(["remove uid-1"])
    expect(clock.pending).toBe(0)
  })

  test("the mark of a wait that no call follows is removed, at once if a drain begins", async () => {
    const { clock, writes, marks } = setUp()
    const waits = async () => {
      marks.setWaiting(alice, true, false)
      await clock.advance(5_000)
      marks.endWait(alice.uid)
    }
    await waits()
    await clock.advance(1_400)
    expect(writes).toEqual(["set uid-1"])
    await clock.advance(100)
    expect(writes).toEqual(["set uid-1", "remove uid-1"])
    expect(clock.pending).toBe(0)
    await waits()
    expect(await marks.hurry(alice.uid)).toBe(true)
    await clock.advance(0)
    expect(writes.slice(2)).toEqual(["set uid-1", "remove uid-1"])
  })

  test.each<[string, (marks: InUseMarks) => void]>([
    ["ended", (marks) => marks.endWait(alice.uid)],
    ["counts no longer", (marks) => marks.setWaiting(alice, false, false)],
    ["goes on", () => {}],
  ])("a call sets it from the second second although a wait that %s had longer", async (_how, change) => {
    const { clock, writes, marks } = setUp()
    marks.setWaiting(alice, true, false)
    change(marks)
    marks.beginCall(alice)
    await clock.advance(1_400)
    expect(writes).toEqual([])
    await clock.advance(100)
    expect(writes).toEqual(["set uid-1"])
  })

  test("a waiter that must cancel a drain is told at once", async () => {
    const { clock, writes, marks } = setUp()
    marks.setWaiting(alice, true, true)
    marks.setWaiting(alice, true, true)
    await clock.advance(0)
    expect(writes).toEqual(["set uid-1"])
  })

  test("a drain makes an open call told at once, and nothing if there is none", async () => {
    const { clock, writes, marks } = setUp()
    expect(await marks.hurry(alice.uid)).toBe(true)
    const end = marks.beginCall(alice)
    const told = marks.hurry(alice.uid)
    await clock.advance(0)
    expect(writes).toEqual(["set uid-1"])
    expect(await told).toBe(true)
    end()
  })

  test("a drain hears whether the open calls could be told", async () => {
    const { answers, marks } = setUp()
    answers.push("failed")
    marks.beginCall(alice)
    expect(await marks.hurry(alice.uid)).toBe(false)
    expect(await marks.hurry(alice.uid)).toBe(true)
  })

  test("a drain that comes while the mark is being removed sets it for a call that has begun since", async () => {
    const { clock, writes, marks } = setUp()
    const end = marks.beginCall(alice)
    await clock.advance(2_000)
    end()
    marks.beginCall(alice)
    expect(await marks.hurry(alice.uid)).toBe(true)
    expect(writes).toEqual(["set uid-1", "remove uid-1", "set uid-1"])
  })

  test("a failed write is tried again, a gone instance is not", async () => {
    const { clock, writes, answers, marks } = setUp()
    answers.push("failed", "written", "gone")
    marks.beginCall(alice)
    await clock.advance(2_000 + 5_000)
    expect(writes).toHaveLength(2)
    await clock.advance(30_000)
    expect(writes).toHaveLength(3)
    await clock.advance(300_000)
    expect(writes).toHaveLength(3)
    expect(clock.pending).toBe(0)
  })

  test("a call that ends while the mark is being written removes it after", async () => {
    const { clock, writes, marks } = setUp()
    const end = marks.beginCall(alice)
    const turned = clock.advance(2_000)
    end()
    await turned
    await clock.advance(10_000)
    expect(writes.at(-1) ?? "none").not.toBe("set uid-1")
  })

  test("a call that begins while the mark is being removed sets it again", async () => {
    const clock = fakeClock()
    const writes: string[] = []
    const removal = Promise.withResolvers<Written>()
    const marks = createInUseMarks({
      clock,
      replica: "own",
      marksOn: () => ({}),
      write: (_id, open) => {
        writes.push(open ? "set" : "remove")
        return open ? Promise.resolve("written") : removal.promise
      },
    })
    const end = marks.beginCall(alice)
    await clock.advance(2_000)
    end()
    marks.beginCall(alice)
    removal.resolve("written")
    await clock.advance(2_000)
    expect(writes).toEqual(["set", "remove", "set"])
  })

  test("a clock that is set back delays no mark and no renewal", async () => {
    const { clock, writes, marks } = setUp()
    marks.beginCall(alice)
    clock.skew(-3_600_000)
    await clock.advance(1_500)
    expect(writes).toEqual(["set uid-1"])
    clock.skew(-3_600_000)
    await clock.advance(30_000)
    expect(writes).toEqual(["set uid-1", "set uid-1"])
  })

  test("after closing nothing is written or scheduled any more", async () => {
    const { clock, writes, marks } = setUp()
    marks.setWaiting(alice, true, false)
    await marks.close()
    marks.beginCall(alice)
    marks.setWaiting({ name: "other", uid: "uid-2" }, true, false)
    marks.endWait("uid-2")
    expect(clock.pending).toBe(0)
    await clock.advance(10_000)
    expect(writes).toEqual([])
  })

  test("closing removes every mark and ends within its bound even if the API server does not answer", async () => {
    const { clock, writes, marks } = setUp()
    marks.beginCall(alice)
    marks.beginCall({ name: "other", uid: "uid-2" })
    await clock.advance(2_000)
    await marks.close()
    expect(writes.slice(2).sort()).toEqual(["remove uid-1", "remove uid-2"])
    expect(clock.pending).toBe(0)

    const stuck = createInUseMarks({
      clock,
      replica: "own",
      marksOn: () => ({}),
      write: (_id, open) => (open ? Promise.resolve("written") : new Promise(() => {})),
    })
    stuck.beginCall(alice)
    await clock.advance(2_000)
    const closed = stuck.close()
    await clock.advance(2_000)
    await closed
  })
})

describe("while another gateway has its mark on the instance", () => {
  const first = "2030-01-01T00:00:01Z"
  const renewed = "2030-01-01T00:00:31Z"

  test("waiting requests write none, until a whole delay after the other mark is gone", async () => {
    const { clock, writes, marks, show } = setUp()
    marks.setWaiting(alice, true, false)
    show({ other: first })
    await clock.advance(20_000)
    expect(writes).toEqual([])
    show({})
    await clock.advance(2_400)
    expect(writes).toEqual([])
    await clock.advance(4_500)
    expect(writes).toEqual(["set uid-1"])
  })

  test("waiting requests write one all the same if the other mark was there before and may be of a gateway that is gone", async () => {
    const { clock, writes, marks, show } = setUp()
    show({ other: first })
    marks.setWaiting(alice, true, false)
    await clock.advance(4_500)
    expect(writes).toEqual(["set uid-1"])
  })

  test("waiting requests write one once the other mark is not renewed for a minute", async () => {
    const { clock, writes, marks, show } = setUp()
    marks.setWaiting(alice, true, false)
    show({ other: first })
    await clock.advance(40_000)
    show({ other: renewed })
    await clock.advance(60_000)
    expect(writes).toEqual([])
    await clock.advance(10_000)
    expect(writes).toEqual(["set uid-1"])
  })

  test("its own mark counts for nothing", async () => {
    const { clock, writes, marks, show } = setUp()
    marks.setWaiting(alice, true, false)
    show({ own: first })
    await clock.advance(4_500)
    expect(writes).toEqual(["set uid-1"])
  })

  test("a request that must cancel a drain writes its mark all the same", async () => {
    const { clock, writes, marks, show } = setUp()
    marks.setWaiting(alice, true, false)
    show({ other: first })
    await clock.advance(5_000)
    marks.setWaiting(alice, true, true)
    await clock.advance(0)
    expect(writes).toEqual(["set uid-1"])
  })

  test("a call after a wait writes none for six seconds, and then its own", async () => {
    const { clock, writes, marks, show } = setUp()
    marks.setWaiting(alice, true, false)
    show({ other: first })
    await clock.advance(5_000)
    marks.endWait(alice.uid)
    marks.beginCall(alice)
    await clock.advance(5_900)
    expect(writes).toEqual([])
    await clock.advance(100)
    expect(writes).toEqual(["set uid-1"])
  })

  test("the other mark is not relied on after the clock was set back", async () => {
    const { clock, writes, marks, show } = setUp()
    marks.setWaiting(alice, true, false)
    show({ other: first })
    await clock.advance(5_000)
    clock.skew(-3_600_000)
    await clock.advance(4_500)
    expect(writes).toEqual(["set uid-1"])
  })

  test("only the calls that follow a wait write none, not later ones", async () => {
    const { clock, writes, marks, show } = setUp()
    marks.setWaiting(alice, true, false)
    show({ other: first })
    marks.endWait(alice.uid)
    marks.beginCall(alice)()
    marks.beginCall(alice)
    await clock.advance(1_500)
    expect(writes).toEqual(["set uid-1"])
  })

  test("a call without a wait writes its own", async () => {
    const { clock, writes, marks, show } = setUp()
    marks.beginCall(alice)
    show({ other: first })
    await clock.advance(1_500)
    expect(writes).toEqual(["set uid-1"])
  })
})
