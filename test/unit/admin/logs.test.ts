import { beforeEach, expect, test } from "vitest"
import type { Call } from "../../../src/admin/call.ts"
import { instanceLogs } from "../../../src/admin/logs.ts"
import { createNeedleShare } from "../../../src/credentials/needle-share.ts"
import { anInstance } from "../../support/build/instance.ts"
import { type FakeClock, fakeClock } from "../../support/fake-clock.ts"

let clock: FakeClock
/** Ends the time of the call. */
let late: AbortController
/** Logs that are being read from the cluster. */
let open: number
let pieces: AsyncIterable<string>

beforeEach(() => {
  clock = fakeClock()
  late = new AbortController()
  open = 0
})

async function* until(signal: AbortSignal): AsyncGenerator<string> {
  await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }))
}

/** Reads the log of an instance as a call of an administrator does. */
const read = async (query: string): Promise<ReadableStream<Uint8Array>> => {
  const instance = anInstance({ status: { podName: "pod" } })
  const cluster = {
    get: async () => instance,
    streamLogs: async function* (_ref: unknown, _query: unknown, { signal }: { signal: AbortSignal }) {
      open++
      try {
        yield* pieces
        yield* until(signal)
      } finally {
        open--
      }
    },
  }
  const targets = { subscribe: () => () => {} }
  const call = {
    deps: { cluster, targets, clock, namespace: "reflow", needles: createNeedleShare() },
    identity: { source: "token", issuer: "static", subject: "robot" },
    admin: true,
    params: { name: instance.metadata.name },
    query: new URLSearchParams(query),
    signal: late.signal,
  }
  const { text } = await instanceLogs(call as unknown as Call)
  if (text instanceof ReadableStream) return text
  throw new Error("no stream")
}
const saying = async function* (...words: string[]) {
  yield* words
}

test("a log that does not begin in the time of a call fails with it, and is read no more", async () => {
  pieces = saying()
  const answer = read("")
  const settled = answer.then(
    () => "answered",
    (error: unknown) => error,
  )
  await expect.poll(() => open).toBe(1)
  late.abort(new Error("too late"))
  expect(await settled).toMatchObject({ message: "too late" })
  expect(open).toBe(0)
})

test.each(["", "follow=true"])(
  "a log that has begun goes on after the time of its call (%j), for an hour",
  async (query) => {
    pieces = saying("one\n", "two\n")
    const reader = (await read(query)).getReader()
    const next = async () => new TextDecoder().decode((await reader.read()).value)
    late.abort(new Error("too late"))
    expect([await next(), await next()]).toEqual(["one\n", "two\n"])
    expect(open).toBe(1)
    await clock.advance(3_600_000)
    expect((await reader.read()).done).toBe(true)
    expect(open).toBe(0)
  },
)
