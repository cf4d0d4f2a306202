import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { describe, expect, test } from "vitest"
import { readEnvelope } from "../../../src/bridge/envelope.ts"
import { type Call, type CallSink, Peer, type ServerMessage } from "../../../src/bridge/peer.ts"
import type { Child, Death } from "../../../src/bridge/process/child.ts"
import { createTail } from "../../../src/bridge/process/tail.ts"

/**
 * A peer whose child only remembers what was written to it. Ids of the bridge have random parts, which are left out in
 * what the child remembers, and are added to what it sends.
 */
const createPeer = () => {
  const written: string[] = []
  const ownIds = new Map<string, string>()
  const plain = (text: string) =>
    text.replace(/n:[\w-]{8}:(\d+):[\w-]{8}/g, (own, number) => {
      // a copy, which keeps no body in memory
      ownIds.set(`n:${number}`, Buffer.from(own).toString())
      return `n:${number}`
    })
  const death = Promise.withResolvers<Death>()
  const child: Child = {
    pid: 1,
    ended: death.promise,
    tail: createTail(),
    hint: "",
    write: (line) => written.push(plain(line)) > 0,
    drained: () => undefined,
    hold: () => {},
    release: () => {},
    end: async () => {},
    onEnding: () => {},
  }
  const [requests, notifications, junk]: [ServerMessage[], ServerMessage[], (string | undefined)[]] = [[], [], []]
  const peer: Peer = new Peer(child, {
    request: (message) => void requests.push({ ...message, text: plain(message.text) }),
    notification: (message) => void notifications.push(message),
    junk: (line) => void junk.push(line === undefined ? line : plain(line.toString())),
  })
  const take = (line: string | Buffer) =>
    peer.take(Buffer.from(typeof line === "string" ? line.replace(/n:\d+/g, (id) => ownIds.get(id) ?? id) : line))
  return { peer, written, requests, notifications, junk, take, die: () => death.resolve({ code: 1, signal: null }) }
}

/** Sends a call, and remembers what comes for it. */
const call = (peer: Peer, text: string): { readonly call: Call; readonly got: string[] } => {
  const got: string[] = []
  const sink: CallSink = {
    note: (each) => void got.push(`note ${each}`),
    answer: (each) => void got.push(`answer ${each}`),
    over: () => void got.push("over"),
  }
  return { call: peer.call(text, readEnvelope(text, true), sink), got }
}

describe("calls of a peer", () => {
  test("get ids of the bridge's own, and their answers the client's, byte for byte", () => {
    const { peer, written, take } = createPeer()
    const first = call(peer, '{"jsonrpc":"2.0","id":"\\u0041","method":"m","params":{"n":1.0e400}}')
    const second = call(peer, '{"method":"m",\n"id" : 7 ,"jsonrpc":"2.0"}')
    expect(written).toEqual([
      '{"jsonrpc":"2.0","id":"n:1","method":"m","params":{"n":1.0e400}}',
      '{"method":"m", "id" : "n:2" ,"jsonrpc":"2.0"}',
    ])
    take('{"jsonrpc":"2.0", "id":"n:2" ,"result":{"n":12345678901234567890}}')
    take('{"error":{"code":-1,"message":"\\u00e9"},"jsonrpc":"2.0","id":"n:1"}\r')
    expect(second.got).toEqual(['answer {"jsonrpc":"2.0", "id":7 ,"result":{"n":12345678901234567890}}'])
    expect(first.got).toEqual(['answer {"error":{"code":-1,"message":"\\u00e9"},"jsonrpc":"2.0","id":"\\u0041"} '])
    expect(peer.open).toBe(0)
  })

  test("get their progress under the client's token, and none if the client gave no token", () => {
    const { peer, written, take, notifications } = createPeer()
    const asked = call(peer, '{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"progressToken":12.50}}}')
    const silent = call(peer, '{"jsonrpc":"2.0","id":1,"method":"m"}')
    expect(written[0]).toBe('{"jsonrpc":"2.0","id":"n:1","method":"m","params":{"_meta":{"progressToken":"n:1"}}}')
    const progress = (token: string) =>
      `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":${token},"progress":1}}`
    for (const token of ['"n:1"', '"n:2"', '"n:3"', "1", '"x"']) take(progress(token))
    expect(asked.got).toEqual([`note ${progress("12.50")}`])
    expect(silent.got).toEqual([])
    expect(notifications).toEqual([])
  })

  test("get notifications that name them as subscription, under the client's id, in the last result too", () => {
    const { peer, take, notifications } = createPeer()
    const { got } = call(peer, '{"jsonrpc":"2.0","id":"s","method":"subscriptions/listen"}')
    const meta = (id: string) => `"_meta":{"io.modelcontextprotocol/subscriptionId":${id}}`
    const told = (id: string) => `{"jsonrpc":"2.0","method":"notifications/x","params":{${meta(id)}}}`
    take(told('"n:1"'))
    take(told('"n:2"'))
    take(`{"jsonrpc":"2.0","id":"n:1","result":{${meta('"n:1"')}}}`)
    expect(got).toEqual([`note ${told('"s"')}`, `answer {"jsonrpc":"2.0","id":"s","result":{${meta('"s"')}}}`])
    expect(notifications).toEqual([])
  })

  test("have ids that nobody can guess, and only these very ids are theirs", () => {
    const [one, other] = [createPeer(), createPeer()]
    const { got, call: open } = call(one.peer, '{"jsonrpc":"2.0","id":1,"method":"m"}')
    const { call: alike } = call(other.peer, '{"jsonrpc":"2.0","id":1,"method":"m"}')
    const { ownId: id } = open
    expect(id).toMatch(/^n:[\w-]{8}:1:[\w-]{8}$/)
    const [, prefix, random] = /^(n:.*:)1:(.*)$/.exec(id) ?? []
    const parts = [`${prefix}1`, `${prefix}1:`, `${prefix}1:0`, `${prefix}1:${random}0`, `${prefix}01:${random}`]
    const spelled = [`${prefix} 1:${random}`, `${prefix}1e0:${random}`, `${prefix}0x1:${random}`, `x${id}`, `${id} `]
    for (const guess of ["n:1", `n:1:${random}`, alike.ownId, ...parts, ...spelled])
      one.peer.take(Buffer.from(`{"jsonrpc":"2.0","id":"${guess}","result":{}}`))
    expect(got).toEqual([])
    one.peer.take(Buffer.from(`{"jsonrpc":"2.0","id":"${id}","result":{}}`))
    expect(got).toEqual(['answer {"jsonrpc":"2.0","id":1,"result":{}}'])
  })

  test("have ids that cannot be guessed from that of another call", () => {
    const { peer } = createPeer()
    const ids = Array.from({ length: 100 }, () => call(peer, '{"jsonrpc":"2.0","id":1,"method":"m"}').call.ownId)
    expect(new Set(ids.map((id) => id.split(":").at(-1))).size).toBe(100)
  })

  test("end when the server cancels them, and what comes late is dropped", () => {
    const { peer, take, notifications, junk } = createPeer()
    const listening = call(peer, '{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen"}')
    const forgotten = call(peer, '{"jsonrpc":"2.0","id":1,"method":"m"}')
    const cancelled = '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"n:1"}}'
    take(cancelled)
    take(cancelled)
    expect(peer.forget(forgotten.call)).toBe(true)
    expect(peer.forget(forgotten.call)).toBe(false)
    take('{"jsonrpc":"2.0","id":"n:1","result":{}}')
    take('{"jsonrpc":"2.0","id":"n:2","result":{}}')
    expect([listening.got, forgotten.got, notifications, junk]).toEqual([["over"], [], [], []])
    // a cancellation of the server's own request concerns the client
    take('{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}')
    expect(notifications).toHaveLength(1)
  })

  test("are cancelled under the bridge's id, once", () => {
    const { peer, written } = createPeer()
    const { call: open } = call(peer, '{"jsonrpc":"2.0","id":1,"method":"m"}')
    peer.cancel(open, "gone")
    peer.cancel(open, "gone")
    expect(written.slice(1).map((line) => JSON.parse(line))).toEqual([
      { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: "n:1", reason: "gone" } },
    ])
  })

  test("are at most 1,000 at once, and none once the server has ended", async () => {
    const { peer, die } = createPeer()
    for (let at = 0; at < 999; at++) call(peer, '{"jsonrpc":"2.0","id":1,"method":"m"}')
    expect(() => peer.ensureRoom(1)).not.toThrow()
    expect(() => peer.ensureRoom(2)).toThrow(expect.objectContaining({ code: "TooManyCalls", retryAfterSeconds: 1 }))
    expect(peer.takeAll()).toHaveLength(999)
    expect(peer.open).toBe(0)
    die()
    await peer.child.ended
    expect(() => peer.ensureRoom(1)).toThrow(expect.objectContaining({ code: "ServerProcessEnded" }))
  })

  test("do not keep their bodies in memory", () => {
    const { peer, written } = createPeer()
    setFlagsFromString("--expose-gc")
    const collect: () => void = runInNewContext("gc")
    const heap = () => {
      collect()
      const { heapUsed, external } = process.memoryUsage()
      return heapUsed + external
    }
    const before = heap()
    for (let at = 0; at < 30; at++) {
      const id = `a-long-id-of-a-client-${at}`
      call(peer, Buffer.from(`{"jsonrpc":"2.0","id":"${id}","method":"${"x".repeat(2 ** 20)}"}`).toString("latin1"))
      written.length = 0
    }
    expect(heap() - before).toBeLessThan(15 * 2 ** 20)
    expect(peer.calls.map(({ idText }) => idText)).toContain('"a-long-id-of-a-client-29"')
  })
})

describe("other messages of a server", () => {
  test("are requests and notifications, on one line each", () => {
    const { take, requests, notifications } = createPeer()
    take('{"jsonrpc":"2.0","id":"n:1","method":"ping"}')
    take('{"jsonrpc":"2.0",\r"method":"notifications/message","params":{"data":"é"}}')
    expect(requests.map(({ text, method }) => [text, method])).toEqual([
      ['{"jsonrpc":"2.0","id":"n:1","method":"ping"}', "ping"],
    ])
    expect(notifications.map(({ text }) => text)).toEqual([
      '{"jsonrpc":"2.0", "method":"notifications/message","params":{"data":"é"}}',
    ])
  })

  test.for([
    "Listening on stdio",
    "{",
    "[]",
    '[{"jsonrpc":"2.0","method":"m"}]',
    '"text"',
    '{"jsonrpc":"1.0","method":"m"}',
    '{"method":"m"}',
    '{"jsonrpc":"2.0"}',
    '{"jsonrpc":"2.0","id":"n:1"}',
    '{"jsonrpc":"2.0","method":7}',
    '{"jsonrpc":"2.0","method":"m"} trailing',
    `{"jsonrpc":"2.0","method":"m","params":${"[".repeat(20_000)}${"]".repeat(20_000)}}`,
    `{"jsonrpc":"2.0","method":"m","params":"${"x".repeat(70_000)}"`,
  ])("are no messages: %#", (line) => {
    const { take, junk, requests, notifications } = createPeer()
    take(line)
    expect([junk, requests, notifications]).toEqual([[line], [], []])
  })

  test("are none if they are no UTF-8, or too long", () => {
    const { peer, take, junk } = createPeer()
    take(Buffer.from('{"jsonrpc":"2.0","method":"\xe9"}', "latin1"))
    peer.take(undefined)
    expect(junk).toHaveLength(2)
    expect(junk[1]).toBeUndefined()
  })

  test("of more than 64 KiB are read the same", () => {
    const { take, notifications } = createPeer()
    take(`{"jsonrpc":"2.0","method":"m","params":{"x":"${"é".repeat(70_000)}","n":1e999}}`)
    expect(notifications.map(({ method }) => method)).toEqual(["m"])
  })
})
