import { getEventListeners } from "node:events"
import { expect, test } from "vitest"
import { ask } from "../../../src/bridge/common-child.ts"
import { Peer } from "../../../src/bridge/peer.ts"

/** A peer whose child only remembers what was written to it. */
const createPeer = () => {
  const written: string[] = []
  const child = { ended: new Promise(() => {}), write: (line: string) => written.push(line) > 0 }
  const nothing = () => {}
  const peer = new Peer(child as unknown as Peer["child"], { request: nothing, notification: nothing, junk: nothing })
  const answer = () => {
    const { id } = JSON.parse(written[0] ?? "")
    peer.take(Buffer.from(JSON.stringify({ jsonrpc: "2.0", id, result: { fine: true } })))
  }
  return { peer, answer }
}

test("a question of the bridge that was answered waits for its limit no more", async () => {
  const { peer, answer } = createPeer()
  const limit = new AbortController()
  const asked = ask(peer, "tools/list", {}, limit.signal)
  answer()
  expect(await asked).toEqual({ result: { fine: true } })
  expect(getEventListeners(limit.signal, "abort")).toEqual([])
})

test("a question of the bridge that is not answered in time has no answer, and is forgotten", async () => {
  const { peer, answer } = createPeer()
  const limit = new AbortController()
  const asked = ask(peer, "tools/list", {}, limit.signal)
  expect(peer.open).toBe(1)
  limit.abort()
  expect(await asked).toBeUndefined()
  expect(peer.open).toBe(0)
  expect(answer).not.toThrow()
})
