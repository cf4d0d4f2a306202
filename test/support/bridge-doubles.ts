import type { Connection } from "../../src/bridge/http/connection.ts"
import { type Incoming, readBody } from "../../src/bridge/incoming.ts"
import { Peer, type PeerHandlers } from "../../src/bridge/peer.ts"
import type { Child, Death } from "../../src/bridge/process/child.ts"
import { createTail } from "../../src/bridge/process/tail.ts"

/** A client's end of a response that remembers what it got. */
export type FakeConnection = Connection & {
  /** Bodies and events, without those that only set the id. */
  readonly got: string[]
  readonly headers: Record<string, string>
  /** The client goes away. */
  readonly leave: () => void
}

/** A client that is there, or has left already. `unsent`: how much it has not read. */
export const fakeConnection = ({ isThere = true, unsent = 0 } = {}): FakeConnection => {
  const got: string[] = []
  const headers: Record<string, string> = {}
  let [isEnded, isGone] = [false, !isThere]
  let onGone = (): void => {}
  const leave = (): void => {
    isGone = true
    if (!isEnded) onGone()
  }
  return {
    got,
    headers,
    json: (_, text, added) => {
      isEnded = true
      Object.assign(headers, added)
      got.push(text)
    },
    empty: () => {
      isEnded = true
    },
    openStream: () => {},
    event: (text) => void (text !== "" && got.push(text)),
    end: () => {
      isEnded = true
    },
    // as with Node, it is told later
    destroy: () => queueMicrotask(leave),
    unsent,
    get isOver() {
      return isEnded || isGone
    },
    get isGone() {
      return isGone && !isEnded
    },
    onTaken: () => {},
    onGone: (call) => {
      onGone = call
    },
    leave,
  }
}

/** A child that remembers what was written to it and whether its end was asked for, and its peer. */
export const fakeStarted = (handlers: Partial<PeerHandlers> = {}) => {
  const death = Promise.withResolvers<Death>()
  const written: string[] = []
  const state = { isEnding: false }
  const child: Child = {
    pid: 1,
    ended: death.promise,
    tail: createTail(),
    hint: "",
    write: (line) => written.push(line) > 0,
    drained: () => undefined,
    hold: () => {},
    release: () => {},
    end: async () => {
      state.isEnding = true
    },
    onEnding: () => {},
  }
  const nothing = () => {}
  const peer = new Peer(child, { request: nothing, notification: nothing, junk: nothing, ...handlers })
  /** Answers the request that was written last. */
  const answer = (result: object): void => {
    const { id } = JSON.parse(written.at(-1) ?? "")
    peer.take(Buffer.from(JSON.stringify({ jsonrpc: "2.0", id, result })))
  }
  const die = (): void => death.resolve({ code: 1, signal: null })
  return { child, peer, label: "c1", written, state, answer, die }
}

/** A message of a client as the bridge reads it. */
export const incoming = (message: object): Incoming => {
  const body = readBody(Buffer.from(JSON.stringify(message)))
  const [first] = "messages" in body ? body.messages : []
  if (first === undefined) throw new Error("no message")
  return first
}
