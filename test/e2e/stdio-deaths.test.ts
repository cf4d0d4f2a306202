import { randomUUID } from "node:crypto"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { connectV1, connectV2, type Peer } from "../support/mcp-peers.ts"
import { eventually, processesWith } from "../support/processes.ts"
import { initialize, post, type Reflow, repositoryFile, startReflow, target } from "../support/reflow.ts"

/** A server with a helper of its own, which does not end with it. */
const dual = ["sh", "-c", 'sleep 600 & exec node "$0"', repositoryFile("test/fixtures/servers/stdio-dual.mjs")]
const mark = randomUUID()
const markOf = (name: string) => `${mark}-${name}`
const serverOf = (name: string, command: readonly string[], more: object = {}) =>
  target(name, command, { stdio: {}, env: [{ name: "TEST_MARK", value: markOf(name) }], ...more })
const kinds = ["stateful", "stateless"] as const
/** Targets whose sessions may end alone, while their bridge runs. */
const endedAlone = kinds
/** Clients of the older era, in which sessions are. */
const clients: readonly [string, string, typeof connectV1][] = [
  ["the 1.x client", "first", connectV1],
  ["the 2.x client in legacy mode", "second", (...args) => connectV2("legacy", ...args)],
]

let reflow: Reflow
let alice: string

beforeAll(async () => {
  const targets = kinds.flatMap((statefulness) => [
    ...clients.flatMap(([, name]) =>
      ["child", "bridge"].map((victim) => serverOf(`${victim}-${statefulness}-${name}`, dual, { statefulness })),
    ),
    serverOf(`idle-${statefulness}`, dual, { statefulness, stdio: { idleTTL: "10s" } }),
  ])
  targets.push(serverOf("last", dual))
  reflow = await startReflow({ targets: targets.join("") })
  alice = await reflow.token("alice")
})
afterAll(async () => {
  await reflow?.stop()
})

const at = (name: string) => `${reflow.url}/mcp/${name}`
const pidOf = async (peer: Peer): Promise<number> => Number((await peer.call("pid")).text)
const failureOf = (outcome: Promise<unknown>) =>
  outcome.then(
    (value) => {
      throw new Error(`no failure, but ${JSON.stringify(value)}`)
    },
    (error: unknown) => error,
  )
const processesOf = (name: string) => processesWith("TEST_MARK", markOf(name))
const pidsOf = (name: string): number[] => processesOf(name).map(({ pid }) => pid)
/** The bridge, and the shell that guards it. */
const bridgesOf = (name: string) =>
  processesOf(name).filter(({ command }) =>
    command.some((each, at) => each === "--role" && command[at + 1] === "bridge"),
  )
const bridgeOf = (name: string): number =>
  bridgesOf(name).find(({ command: [program] }) => program !== "/bin/sh")?.pid ?? 0

/** Begins a call that the server will not answer for long; resolves when the server is at work. */
const begin = async (peer: Peer): Promise<{ readonly outcome: Promise<unknown> }> => {
  const outcome = failureOf(peer.call("slow"))
  // the server takes its messages in order
  await peer.call("pid")
  return { outcome }
}

/** The next call after a death: a stateful session is unknown, a stateless one is opened again. */
const expectNext = async (statefulness: (typeof kinds)[number], peer: Peer, before: number): Promise<void> => {
  if (statefulness === "stateful") {
    expect(await failureOf(peer.call("pid"))).toMatchObject({ message: expect.stringContaining("SessionNotFound") })
    return
  }
  // calls at once open it once
  const [after = before, ...others] = await Promise.all([pidOf(peer), pidOf(peer), pidOf(peer)])
  expect(after).not.toBe(before)
  expect([...others, await pidOf(peer)]).toEqual([after, after, after])
  await peer.close()
}

describe.runIf(process.platform === "linux").each(endedAlone)("a session of a %s target", (statefulness) => {
  test.each(clients)("tells %s what killed its process, and leaves the other session alone", async (...all) => {
    const [, name, connect] = all
    const url = at(`child-${statefulness}-${name}`)
    const [peer, other] = await Promise.all([connect(url, alice), connect(url, alice)])
    const [pid, othersPid] = [await pidOf(peer), await pidOf(other)]
    expect(othersPid).not.toBe(pid)
    const { outcome } = await begin(peer)
    process.kill(pid, "SIGKILL")
    const data = { code: "ServerProcessEnded", signal: "SIGKILL" }
    expect(await outcome).toMatchObject({ code: -32603, data, message: expect.stringContaining("ended by SIGKILL") })
    await expectNext(statefulness, peer, pid)
    expect(await pidOf(other)).toBe(othersPid)
    await other.close()
  })
})

describe.runIf(process.platform === "linux").each(kinds)("a %s target", (statefulness) => {
  test.each(clients)("tells %s that its bridge was killed, and leaves no process behind", async (...all) => {
    const [, name, connect] = all
    const targetName = `bridge-${statefulness}-${name}`
    const peer = await connect(at(targetName), alice)
    const pid = await pidOf(peer)
    const { outcome } = await begin(peer)
    const before = pidsOf(targetName)
    expect(before).toContain(pid)
    process.kill(bridgeOf(targetName), "SIGKILL")
    expect(await outcome).toMatchObject({ data: { code: "UpstreamInterrupted" } })
    const left = () => pidsOf(targetName).filter((each) => before.includes(each))
    await eventually(() => left().length === 0, 10_000, `no process of ${before} is left`)
    await expectNext(statefulness, peer, pid)
  })
})

describe.runIf(process.platform === "linux").concurrent("sessions that nobody uses", () => {
  test.for(endedAlone)("lose their process: those of a %s target", async (statefulness, { expect }) => {
    const name = `idle-${statefulness}`
    const opened = await post(at(name), alice, initialize())
    const session = { "mcp-session-id": opened.headers.get("mcp-session-id") ?? "" }
    await opened.text()
    await post(at(name), alice, { jsonrpc: "2.0", method: "notifications/initialized" }, session)
    const bridge = bridgeOf(name)
    await eventually(() => processesOf(name).length === bridgesOf(name).length, 30_000, "only the bridge is left")
    const params = { name: "echo", arguments: { message: "again" } }
    const answer = await post(at(name), alice, { jsonrpc: "2.0", id: 2, method: "tools/call", params }, session)
    expect(answer.status).toBe(statefulness === "stateful" ? 404 : 200)
    expect(await answer.text()).toContain(statefulness === "stateful" ? "SessionNotFound" : "Echo: again")
    expect(bridgeOf(name)).toBe(bridge)
  })
})

test.runIf(process.platform === "linux")(
  "nothing is left when the program ends, though sessions are open",
  async () => {
    await connectV1(at("last"), alice)
    await connectV1(at("last"), alice)
    expect(pidsOf("last").length).toBeGreaterThanOrEqual(3)
    await reflow.stop()
    for (const name of ["last", "child-stateful-first", "bridge-stateless-first"]) expect(pidsOf(name)).toEqual([])
  },
)
