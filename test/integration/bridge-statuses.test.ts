import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, test } from "vitest"
import { answerOf, bridgeOf, fixture, modernText, postModern, scripted } from "../support/bridge.ts"
import { eventually } from "../support/processes.ts"
import { initialize, post } from "../support/reflow.ts"

/** A server that ends as soon as it is asked something. */
const dying = ["/bin/sh", "-c", "read -r line; exit 3"]

test.for([
  ["tools/call", 200],
  ["tools/list", 200],
  ["server/discover", 502],
] as const)("the end of a server that was asked %s by the modern era has the status %i", async ([method, status]) => {
  const response = await postModern(await bridgeOf(dying), method, { name: "x" }, "é")
  expect(response.status).toBe(status)
  expect(await answerOf(response, "é")).toMatchObject({
    id: "é",
    error: { code: -32603, data: { code: "ServerProcessEnded", exit_code: 3 } },
  })
})

test("a request for which there is no process keeps the status of that error", async () => {
  const bridge = await bridgeOf(scripted("hang"), { maxProcesses: 1 })
  const left = new AbortController()
  const opening = post(bridge.url, undefined, initialize(), {}, left.signal).catch(() => "left")
  await eventually(() => bridge.count().sessions === 1, 5_000, "the first session has the process")
  const refused = [
    await post(bridge.url, undefined, initialize()),
    await postModern(bridge, "tools/call", { name: "x" }),
  ]
  expect(refused.map(({ status }) => status)).toEqual([503, 503])
  left.abort()
  expect(await opening).toBe("left")
})

test("a server hears no call of a client that left while the server was asked for its era", async () => {
  const gate = join(mkdtempSync(join(tmpdir(), "bridge-")), "gate")
  const bridge = await bridgeOf(fixture("ruled", `gate=${gate}`), { discoverMs: 20_000 })
  const left = new AbortController()
  const leaving = postModern(bridge, "tools/call", { name: "go", arguments: {} }, 1, left.signal).catch(() => "left")
  await eventually(() => bridge.log.includes("[c1] asked"), 10_000, "the server is asked")
  const staying = modernText(bridge, "called")
  left.abort()
  expect(await leaving).toBe("left")
  // what the bridge answers now comes after the end of that connection
  for (let at = 0; at < 3; at++) expect((await fetch(bridge.url)).status).toBe(400)
  writeFileSync(gate, "")
  expect(JSON.parse(await staying)).toEqual(["called"])
})

test.for([
  [{ "mcp-method": "notifications/x" }, 202],
  [{}, 400],
] as const)(
  "a notification without session and version, but with the headers %j, is answered with %i",
  async ([headers, status]) => {
    const { url } = await bridgeOf(fixture("ruled"))
    const notification = { jsonrpc: "2.0", method: "notifications/x" }
    expect((await post(url, undefined, notification, headers)).status).toBe(status)
  },
)
