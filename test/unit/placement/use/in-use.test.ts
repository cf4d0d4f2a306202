import { describe, expect, test } from "vitest"
import { createInUseMarks, type InstanceId, type Written } from "../../../../src/placement/use/in-use.ts"
import { fakeClock } from "../../../support/fake-clock.ts"

const alice: InstanceId = { name: "github-user-alice", uid: "uid-1" }

const setUp = () => {
  const clock = fakeClock()
  const writes: string[] = []
  const answers: Written[] = []
  const marks = createInUseMarks({
    clock,
    write: async ({ uid }, open) => {
      writes.push(`${open ? "set" : "remove"} ${uid}`)
      return answers.shift() ?? "written"
    },
  })
  return { clock, writes, answers, marks }
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

  test("waiting requests count as calls do", async () => {
    const { clock, writes, marks } = setUp()
    marks.setWaiting(alice, true, false)
    await clock.advance(2_000)
    marks.setWaiting(alice, false, false)
    await clock.advance(0)
    expect(writes).toEqual(["set uid-1", "remove uid-1"])
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
      write: (_id, open) => (open ? Promise.resolve("written") : new Promise(() => {})),
    })
    stuck.beginCall(alice)
    await clock.advance(2_000)
    const closed = stuck.close()
    await clock.advance(2_000)
    await closed
  })
})
