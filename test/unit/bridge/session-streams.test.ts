import { describe, expect, test } from "vitest"
import { readEnvelope } from "../../../src/bridge/envelope.ts"
import { SessionStreams } from "../../../src/bridge/session-streams.ts"
import { fullBytes, Unsent } from "../../../src/bridge/unsent.ts"
import { fakeConnection } from "../../support/bridge-doubles.ts"

const createStreams = () => {
  const streams = new SessionStreams({
    child: undefined,
    ringBudget: undefined,
    unsent: new Unsent(),
    silenceMs: 600_000,
    used: () => {},
  })
  const call = () => {
    const connection = fakeConnection()
    const reply = streams.reply(connection, 1)
    return { got: connection.got, leave: connection.leave, sink: reply.sink() }
  }
  const listen = (lastEventId?: string, unsent = 0) => {
    const connection = fakeConnection({ unsent })
    streams.listen(connection, lastEventId)
    return connection
  }
  const say = (method: string): string => {
    const text = JSON.stringify({ jsonrpc: "2.0", method })
    streams.send({ text, method, envelope: readEnvelope(text, false) })
    return text
  }
  return { call, listen, say }
}

describe("a message that names no call", () => {
  test("goes to the only call, though a client listens", () => {
    const { call, listen, say } = createStreams()
    const [get, only] = [listen(), call()]
    const said = say("notifications/message")
    expect([get.got, only.got]).toEqual([[], [said]])
  })

  test("goes to the client that listens while several calls are in progress", () => {
    const { call, listen, say } = createStreams()
    const [get, one, other] = [listen(), call(), call()]
    const said = say("notifications/message")
    expect([get.got, one.got, other.got]).toEqual([[said], [], []])
  })

  test("goes to the newest of several calls if no client listens", () => {
    const { call, listen, say } = createStreams()
    listen().leave()
    const [one, other] = [call(), call()]
    const said = say("notifications/message")
    expect([one.got, other.got]).toEqual([[], [said]])
  })

  test("goes to no call that is over, or whose client has left", () => {
    const { call, say } = createStreams()
    const [one, left, over] = [call(), call(), call()]
    left.leave()
    over.sink.answer("{}")
    const said = say("notifications/message")
    expect([one.got, left.got, over.got]).toEqual([[said], [], ["{}"]])
  })

  test.for(["notifications/tools/list_changed", "notifications/resources/updated"])(
    "waits for a client that listens if it is %s, though a call is in progress",
    (method) => {
      const { call, listen, say } = createStreams()
      const only = call()
      const said = say(method)
      expect(only.got).toEqual([])
      expect(listen().got).toEqual([said])
    },
  )
})

describe("a client that lost the stream of a call and came back to it", () => {
  test("gets what names no call, as the only one with a call", () => {
    const { call, listen, say } = createStreams()
    const lost = call()
    lost.sink.note("progress")
    lost.leave()
    const back = listen("1-0")
    const said = say("notifications/message")
    lost.sink.answer("answer")
    expect([back.got, listen().got]).toEqual([["progress", said, "answer"], []])
  })

  test("is replaced by itself: the end of the connection before changes nothing", () => {
    const { call, listen, say } = createStreams()
    const lost = call()
    lost.sink.note("progress")
    const back = listen("1-1")
    lost.leave()
    const said = say("notifications/message")
    expect([lost.got, back.got]).toEqual([["progress"], [said]])
  })

  test("gets the rest of a call that is over, and then the end", () => {
    const { call, listen } = createStreams()
    const lost = call()
    lost.sink.note("progress")
    lost.leave()
    lost.sink.answer("answer")
    const back = listen("1-1")
    expect([back.got, back.isOver, back.isGone]).toEqual([["answer"], true, false])
  })
})

describe("a client that listens again", () => {
  test("gets nothing twice if it does not ask for it", () => {
    const { listen, say } = createStreams()
    const first = listen()
    const one = say("notifications/tools/list_changed")
    const second = listen()
    const other = say("notifications/prompts/list_changed")
    expect([first.got, second.got]).toEqual([[one], [other]])
  })

  test("takes the place of its connection before, whose end changes nothing", () => {
    const { listen, say } = createStreams()
    const [first, second] = [listen(), listen()]
    expect([first.isOver, second.isOver]).toEqual([true, false])
    first.leave()
    const said = say("notifications/tools/list_changed")
    expect(second.got).toEqual([said])
  })

  test("takes the place of its connection before too if that read nothing and is broken off", async () => {
    const { listen, say } = createStreams()
    const [first, second] = [listen(undefined, fullBytes), listen()]
    await Promise.resolve()
    expect([first.isGone, second.isOver]).toEqual([true, false])
    const said = say("notifications/tools/list_changed")
    expect(second.got).toEqual([said])
  })

  test("gets again what it has already if it says so, and then nothing of that a third time", () => {
    const { listen, say } = createStreams()
    listen()
    const said = [say("notifications/a/list_changed"), say("notifications/b/list_changed")]
    expect(listen("0-0").got).toEqual(said)
    expect(listen().got).toEqual([])
  })

  test("gets what came while it was away, and with an event's id what followed that event", () => {
    const { listen, say } = createStreams()
    const first = listen()
    const [one, two] = [say("notifications/a/list_changed"), say("notifications/b/list_changed")]
    first.leave()
    const three = say("notifications/c/list_changed")
    expect(listen().got).toEqual([three])
    expect(listen("0-1").got).toEqual([two, three])
    expect(listen("0-0").got).toEqual([one, two, three])
  })
})
