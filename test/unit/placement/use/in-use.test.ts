import { describe, expect, test } from "vitest"
import { createInUseKeys, type InstanceId, type Written } from "../../../../src/placement/use/in-use.ts"
import { fakeClock } from "../../../support/fake-clock.ts"

const alice: InstanceId = { name: "github-user-alice", uid: "uid-1" }

const setUp = () => {
  const clock = fakeClock()
  const writes: string[] = []
  const answers: Written[] = []
  const keys = createInUseKeys({
    clock,
    write: async ({ uid }, open) => {
      writes.push(`${open ? "set" : "remove"} ${uid}`)
      return answers.shift() ?? "written"
    },
  })
  return { clock, writes, answers, keys }
}

describe("this replica's key in inUseBy", () => {
  test("a call shorter than a second and a half writes nothing", async () => {
    const { clock, writes, keys } = setUp()
    const end = keys.beginCall(alice)
    await clock.advance(1_400)
    end()
    await clock.advance(60_000)
    expect(writes).toEqual([])
    expect(clock.pending).toBe(0)
  })

  test("a longer call sets the key from its second second, renews it every 30 s and removes it at its end", async () => {
    const { clock, writes, keys } = setUp()
    const end = keys.beginCall(alice)
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

  test("the end of one of two calls keeps the key", async () => {
    const { clock, writes, keys } = setUp()
    const [first, second] = [keys.beginCall(alice), keys.beginCall(alice)]
    await clock.advance(2_000)
    first()
    await clock.advance(10_000)
    expect(writes).toEqual(["set uid-1"])
    second()
    await clock.advance(0)
    expect(writes).toEqual(["set uid-1", "remove uid-1"])
  })

  test("waiting requests count as calls do", async () => {
    const { clock, writes, keys } = setUp()
    keys.setWaiting(alice, true, false)
    await clock.advance(2_000)
    keys.setWaiting(alice, false, false)
    await clock.advance(0)
    expect(writes).toEqual(["set uid-1", "remove uid-1"])
  })

  test("a waiter that must cancel a drain is told at once", async () => {
    const { clock, writes, keys } = setUp()
    keys.setWaiting(alice, true, true)
    keys.setWaiting(alice, true, true)
    await clock.advance(0)
    expect(writes).toEqual(["set uid-1"])
  })

  test("a drain makes an open call told at once, and nothing if there is none", async () => {
    const { clock, writes, keys } = setUp()
    expect(await keys.hurry(alice.uid)).toBe(true)
    const end = keys.beginCall(alice)
    const told = keys.hurry(alice.uid)
    await clock.advance(0)
    expect(writes).toEqual(["set uid-1"])
    expect(await told).toBe(true)
    end()
  })

  test("a drain hears whether the open calls could be told", async () => {
    const { answers, keys } = setUp()
    answers.push("failed")
    keys.beginCall(alice)
    expect(await keys.hurry(alice.uid)).toBe(false)
    expect(await keys.hurry(alice.uid)).toBe(true)
  })

  test("a drain that comes while the key is being removed sets it for a call that has begun since", async () => {
    const { clock, writes, keys } = setUp()
    const end = keys.beginCall(alice)
    await clock.advance(2_000)
    end()
    keys.beginCall(alice)
    expect(await keys.hurry(alice.uid)).toBe(true)
    expect(writes).toEqual(["set uid-1", "remove uid-1", "set uid-1"])
  })

  test("a failed write is tried again, a gone instance is not", async () => {
    const { clock, writes, answers, keys } = setUp()
    answers.push("failed", "written", "gone")
    keys.beginCall(alice)
    await clock.advance(2_000 + 5_000)
    expect(writes).toHaveLength(2)
    await clock.advance(30_000)
    expect(writes).toHaveLength(3)
    await clock.advance(300_000)
    expect(writes).toHaveLength(3)
    expect(clock.pending).toBe(0)
  })

  test("a call that ends while the key is being written removes it after", async () => {
    const { clock, writes, keys } = setUp()
    const end = keys.beginCall(alice)
    const turned = clock.advance(2_000)
    end()
    await turned
    await clock.advance(10_000)
    expect(writes.at(-1) ?? "none").not.toBe("set uid-1")
  })

  test("a call that begins while the key is being removed sets it again", async () => {
    const clock = fakeClock()
    const writes: string[] = []
    const removal = Promise.withResolvers<Written>()
    const keys = createInUseKeys({
      clock,
      write: (_id, open) => {
        writes.push(open ? "set" : "remove")
        return open ? Promise.resolve("written") : removal.promise
      },
    })
    const end = keys.beginCall(alice)
    await clock.advance(2_000)
    end()
    keys.beginCall(alice)
    removal.resolve("written")
    await clock.advance(2_000)
    expect(writes).toEqual(["set", "remove", "set"])
  })

  test("closing removes every key and ends within its bound even if the API server does not answer", async () => {
    const { clock, writes, keys } = setUp()
    keys.beginCall(alice)
    keys.beginCall({ name: "other", uid: "uid-2" })
    await clock.advance(2_000)
    await keys.close()
    expect(writes.slice(2).sort()).toEqual(["remove uid-1", "remove uid-2"])
    expect(clock.pending).toBe(0)

    const stuck = createInUseKeys({
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
