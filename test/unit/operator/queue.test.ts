import { describe, expect, it } from "vitest"
import { createQueue, type QueueObserver } from "../../../src/operator/queue.ts"
import { fakeClock } from "../../support/fake-clock.ts"

const silent: QueueObserver = { depth() {}, added() {}, started() {}, finished() {}, retried() {} }

type Work = (key: string, signal: AbortSignal) => Promise<number | undefined>

const aQueue = (work: Work, workers = 10) => {
  const clock = fakeClock()
  const errors: unknown[] = []
  const queue = createQueue({
    clock,
    workers,
    work,
    backoff: (attempt) => 1000 * 2 ** (attempt - 1),
    onError: (_, error) => errors.push(error),
    observer: silent,
  })
  return { clock, queue, errors }
}

/** Work that a test ends by hand. */
const held = () => {
  const running: string[] = []
  const ends = new Map<string, () => void>()
  let most = 0
  const work: Work = (key) =>
    new Promise((resolve) => {
      running.push(key)
      most = Math.max(most, running.length)
      ends.set(key, () => {
        running.splice(running.indexOf(key), 1)
        resolve(undefined)
      })
    })
  return { work, running, end: (key: string) => ends.get(key)?.(), most: () => most }
}

describe("a queue of keys", () => {
  it("works on a key once, however often it was added while it waited", async () => {
    const done: string[] = []
    const { clock, queue } = aQueue(async (key) => void done.push(key), 1)
    for (const key of ["a", "b", "b", "b"]) queue.add(key)
    await clock.advance(0)
    expect(done).toEqual(["a", "b"])
  })

  it("never works twice at once on a key, and once more if it was added meanwhile", async () => {
    const { work, running, end, most } = held()
    const { clock, queue } = aQueue(work)
    queue.add("a")
    await clock.advance(0)
    queue.add("a")
    queue.add("a")
    await clock.advance(0)
    expect(running).toEqual(["a"])
    end("a")
    await clock.advance(0)
    expect(running).toEqual(["a"])
    end("a")
    await clock.advance(0)
    expect(running).toEqual([])
    expect(most()).toBe(1)
  })

  it("works on ten keys at once and no more", async () => {
    const { work, running, end } = held()
    const { clock, queue } = aQueue(work)
    for (let key = 0; key < 15; key++) queue.add(String(key))
    await clock.advance(0)
    expect(running).toHaveLength(10)
    end("3")
    await clock.advance(0)
    expect(running).toHaveLength(10)
    expect(running).toContain("10")
  })

  it("works again after the delay that the work asks for, or earlier if somebody asks", async () => {
    const at: number[] = []
    const { clock, queue } = aQueue(async () => {
      at.push(clock.now())
      return at.length < 3 ? 5_000 : undefined
    })
    const begun = clock.now()
    queue.add("a")
    await clock.advance(5_000)
    queue.addAfter("a", 60_000)
    queue.addAfter("a", 1_000)
    await clock.advance(100_000)
    expect(at.map((time) => time - begun)).toEqual([0, 5_000, 6_000])
  })

  it("tries a failed key again, later each time, and from the start after a success", async () => {
    const at: number[] = []
    const { clock, queue, errors } = aQueue(async () => {
      at.push(clock.now())
      if (at.length !== 4) throw new Error("no")
      return 10_000
    })
    const begun = clock.now()
    queue.add("a")
    await clock.advance(18_500)
    expect(at.map((time) => (time - begun) / 1000)).toEqual([0, 1, 3, 7, 17, 18])
    expect(errors).toHaveLength(5)
  })

  it("aborts what runs when it is closed, and leaves no timer", async () => {
    let aborted = false
    const { clock, queue, errors } = aQueue(
      (_, signal) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener("abort", () => {
            aborted = true
            reject(signal.reason)
          })
        }),
    )
    queue.add("a")
    queue.addAfter("b", 1_000)
    await clock.advance(0)
    await queue.close()
    queue.add("c")
    expect(aborted).toBe(true)
    expect(errors).toEqual([])
    expect(clock.pending).toBe(0)
  })
})
