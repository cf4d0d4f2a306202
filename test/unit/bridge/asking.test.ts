import { expect, test } from "vitest"
import { ask } from "../../../src/bridge/common-child.ts"
import { fakeStarted } from "../../support/bridge-doubles.ts"

const forever = new AbortController().signal

test("a question to a server that has ended is not asked, and has no result", async () => {
  const { peer, child, written, die } = fakeStarted()
  die()
  await child.ended
  expect(await ask(peer, "tools/list", {}, forever)).toEqual({ result: undefined })
  expect(written).toEqual([])
})

test("a question that the server cancels has no result", async () => {
  const { peer, written } = fakeStarted()
  const asked = ask(peer, "tools/list", {}, forever)
  const { id } = JSON.parse(written[0] ?? "")
  const params = { requestId: id }
  peer.take(Buffer.from(JSON.stringify({ jsonrpc: "2.0", method: "notifications/cancelled", params })))
  expect(await asked).toEqual({ result: undefined })
})

test.for(['"error":{"code":-32601,"message":"no"}', '"result":"text"', '"result":null', '"result":[]'])(
  "a question that is answered with %s has no result",
  async (member) => {
    const { peer, written } = fakeStarted()
    const asked = ask(peer, "tools/list", {}, forever)
    const { id } = JSON.parse(written[0] ?? "")
    peer.take(Buffer.from(`{"jsonrpc":"2.0","id":"${id}",${member}}`))
    expect(await asked).toEqual({ result: undefined })
    expect(peer.open).toBe(0)
  },
)
