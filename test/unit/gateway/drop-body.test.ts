import { expect, test } from "vitest"
import { dropBody } from "../../../src/gateway/drop-body.ts"
import type { BodySink } from "../../../src/gateway/upstream-answer.ts"
import { fakeClock } from "../../support/fake-clock.ts"

/** An answer whose body the test sends, and that fails when it is aborted, as a real one does. */
const setUp = () => {
  const clock = fakeClock()
  let sink: BodySink | undefined
  let aborted = false
  const dropped = dropBody(
    {
      status: 202,
      headers: {},
      consume: (given) => {
        sink = given
      },
      resume: () => {},
      abort: () => {
        aborted = true
        sink?.fail(new Error("aborted"))
      },
    },
    clock,
  )
  return {
    clock,
    dropped,
    send: (bytes: number) => sink?.data(Buffer.alloc(bytes)),
    end: () => sink?.end(),
    isAborted: () => aborted,
  }
}

test("a short body is read to its end, so that its connection can carry the next request", async () => {
  const { clock, dropped, send, end, isAborted } = setUp()
  send(40_000)
  send(25_536)
  end()
  await dropped
  await clock.advance(2_000)
  expect(isAborted()).toBe(false)
})

test("a body of more than 64 KiB is read no further, however fast it comes", async () => {
  const { dropped, send, isAborted } = setUp()
  send(65_536)
  expect(isAborted()).toBe(false)
  send(1)
  expect(isAborted()).toBe(true)
  await dropped
})

test("a body that does not end within a second is left", async () => {
  const { clock, dropped, send, isAborted } = setUp()
  send(1)
  await clock.advance(999)
  expect(isAborted()).toBe(false)
  await clock.advance(1)
  expect(isAborted()).toBe(true)
  await dropped
})
