import { setImmediate as turn } from "node:timers/promises"
import { expect, test } from "vitest"
import { paced } from "../../../../src/gateway/answer/body-plan.ts"
import type { BodySink, UpstreamAnswer } from "../../../../src/gateway/wire/upstream-answer.ts"
import { createTurns } from "../../../../src/intake/turns.ts"

/** An answer that a test speaks for, behind turns of which one is spent; its sink writes down what it hears. */
const start = (wants = true) => {
  let now = 0
  const turns = createTurns(() => now)
  const spend = () =>
    turns.measure(() => {
      now += 60
    })
  const heard: string[] = []
  const leave = new AbortController()
  let server: BodySink | undefined
  const answer: UpstreamAnswer = {
    status: 200,
    headers: {},
    consume: (sink) => {
      server = sink
    },
    resume: () => void heard.push("resumed"),
    abort: () => {},
  }
  const given = paced(answer, turns, { owner: "alice", signal: leave.signal })
  given.consume({
    data: (chunk) => {
      heard.push(chunk.toString())
      return wants
    },
    end: () => void heard.push("end"),
    fail: () => void heard.push("fail"),
  })
  if (server === undefined) throw new Error("nobody takes the body")
  return { server, heard, spend, leave, resume: given.resume }
}
const bytes = (text: string) => Buffer.from(text)

test("a body goes on at once while the turn has time", () => {
  const { server, heard } = start()
  expect(server.data(bytes("a"))).toBe(true)
  server.end()
  expect(heard).toEqual(["a", "end"])
})

test("in a turn that is spent pieces and end wait for later ones, in order, and the server is held back", async () => {
  const { server, heard, spend } = start()
  spend()
  expect([server.data(bytes("a")), server.data(bytes("b"))]).toEqual([false, false])
  server.end()
  expect(heard).toEqual([])
  await turn()
  expect(heard).toEqual(["a"])
  await turn()
  await turn()
  await turn()
  expect(heard).toEqual(["a", "b", "end", "resumed"])
})

test("a sink that wants no more is asked before the server goes on", async () => {
  const { server, heard, spend, resume } = start(false)
  spend()
  server.data(bytes("a"))
  await turn()
  await turn()
  expect(heard).toEqual(["a"])
  resume()
  expect(heard).toEqual(["a", "resumed"])
})

test("a server that goes away is told after what it had sent", async () => {
  const { server, heard, spend } = start()
  spend()
  server.data(bytes("a"))
  server.fail(new Error("reset"))
  await turn()
  await turn()
  await turn()
  expect(heard.slice(0, 2)).toEqual(["a", "fail"])
})

test("who has gone does not wait, also when the server has said all it had to say", async () => {
  const { server, heard, spend, leave } = start()
  spend()
  server.data(bytes("a"))
  server.end()
  leave.abort(new Error("gone"))
  await turn()
  expect(heard).toEqual(["fail"])
})
