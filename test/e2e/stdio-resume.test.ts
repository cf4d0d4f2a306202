import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { eventually } from "../support/processes.ts"
import { type Reflow, repositoryFile, startReflow, target } from "../support/reflow.ts"
import { type Relay, startRelay } from "../support/relay.ts"
import { connectStdio, type Library } from "../support/stdio-peers.ts"

let reflow: Reflow
let relay: Relay
let token: string

beforeAll(async () => {
  const command = ["node", repositoryFile("test/fixtures/servers/stdio-dual.mjs")]
  reflow = await startReflow({
    targets: target("dual", command, { stdio: {} }) + target("everything", ["mcp-server-everything"], { stdio: {} }),
  })
  relay = await startRelay(reflow.url)
  token = await reflow.token("alice")
})
afterAll(async () => {
  await relay?.close()
  await reflow?.stop()
})

/** A client whose requests of these methods go over the relay, and the Last-Event-ID of each of its GETs. */
const connect = async (library: Library, name: string, methods: readonly string[]) => {
  const ids: (string | null)[] = []
  const send = (url: string | URL, init: RequestInit = {}) => {
    const { method = "GET", headers } = init
    if (method === "GET") ids.push(new Headers(headers).get("last-event-id"))
    return fetch(methods.includes(method) ? String(url).replace(reflow.url, relay.url) : url, init)
  }
  return { ids, peer: await connectStdio(library, `${reflow.url}/mcp/${name}`, { token, fetch: send }) }
}

describe.each<Library>(["v1", "v2 legacy"])("the client %s, whose connections are cut", (library) => {
  test("gets each notice that its stream of notices missed, once", async () => {
    const { ids, peer } = await connect(library, "dual", ["GET"])
    const updates = () => peer.notices.filter(({ method }) => method === "notifications/resources/updated").length
    await peer.ask.subscribeResource({ uri: "test://counter" })
    await peer.call("touch")
    await eventually(() => updates() === 1, 15_000, "the stream of notices is open")
    relay.cut()
    for (let missed = 0; missed < 3; missed++) await peer.call("touch")
    await eventually(() => updates() >= 4, 15_000, "the missed notices are there")
    await peer.call("touch")
    await eventually(() => updates() >= 5, 15_000, "new notices are there")
    expect(updates()).toBe(5)
    expect(ids).toEqual([null, expect.stringMatching(/./)])
    await peer.close()
  })

  test("gets the rest of a call, each progress once", async () => {
    const { ids, peer } = await connect(library, "everything", ["GET", "POST"])
    let told = 0
    const onProgress = () => {
      told++
      if (told === 2) relay.cut()
    }
    const args = { duration: 3, steps: 6 }
    const { text, progress } = await peer.call("trigger-long-running-operation", args, undefined, onProgress)
    expect(text).toBe("Long running operation completed. Duration: 3 seconds, Steps: 6.")
    expect(progress).toEqual([1, 2, 3, 4, 5, 6])
    expect(ids.filter((id) => id !== null).length).toBeGreaterThan(0)
    await peer.close()
  })
})
