import { randomUUID } from "node:crypto"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { connectV1, connectV2, type Peer } from "../support/mcp-peers.ts"
import { processesWith } from "../support/processes.ts"
import { type Reflow, startReflow, target } from "../support/reflow.ts"

/** Clients, each with a server of its own: its events have ids, so a client that hears nothing would wait to resume. */
const clients: readonly [string, string, (url: string, token: string) => Promise<Peer>][] = [
  ["the 1.x client", "first", connectV1],
  ["the 2.x client", "second", (url, token) => connectV2("auto", url, token)],
]
const policies = { open: {}, narrow: { tools: { allow: ["*"], deny: ["get-env"] } } }
const mark = randomUUID()
const command = ["mcp-server-everything", "streamableHttp"]

let reflow: Reflow
let token: string

beforeAll(async () => {
  const targets = Object.entries(policies).flatMap(([policy, more]) =>
    clients.map(([, name]) => {
      const env = [{ name: "TEST_MARK", value: `${mark}-${policy}-${name}` }]
      return target(`${policy}-${name}`, command, { ...more, env })
    }),
  )
  reflow = await startReflow({ targets: targets.join("") })
  token = await reflow.token("alice")
})
afterAll(async () => {
  await reflow?.stop()
})

/** Begins a call of twenty seconds; resolves when the server has told progress of it. */
const begin = async (peer: Peer): Promise<{ readonly outcome: Promise<unknown> }> => {
  const begun = Promise.withResolvers<void>()
  const args = { duration: 20, steps: 200 }
  const call = peer.call("trigger-long-running-operation", args, undefined, begun.resolve)
  const outcome = call.catch((error: unknown) => error)
  await Promise.race([begun.promise, outcome])
  return { outcome }
}

describe.runIf(process.platform === "linux").each(Object.keys(policies))("behind a target that is %s", (policy) => {
  test.each(clients)("%s hears at once of each of ten calls that its server was killed", async (_, name, connect) => {
    const peer = await connect(`${reflow.url}/mcp/${policy}-${name}`, token)
    const calls = await Promise.all(Array.from({ length: 10 }, () => begin(peer)))
    const killed = performance.now()
    for (const { pid } of processesWith("TEST_MARK", `${mark}-${policy}-${name}`)) process.kill(pid, "SIGKILL")
    const errors = await Promise.all(calls.map(({ outcome }) => outcome))
    expect(performance.now() - killed).toBeLessThan(5_000)
    const expected = { code: -32014, data: { code: "UpstreamInterrupted", retryable: false } }
    for (const error of errors) expect(error).toMatchObject(expected)
  })
})
