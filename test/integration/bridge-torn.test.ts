import { type ClientRequest, request } from "node:http"
import { expect, test } from "vitest"
import { type BridgeApart, startApart } from "../support/bridge-apart.ts"
import { eventually, processesOfGroup } from "../support/processes.ts"
import { initialize } from "../support/reflow.ts"

/** A server that costs next to nothing: it answers `initialize` and `ping`, and nothing else. The ids of the bridge are strings. */
const cheap = [
  "/bin/sh",
  "-c",
  `while read -r line; do
    id=\${line#*'"id":"'}; id=\${id%%'"'*}
    case "$line" in
      *'"initialize"'*'"slow"'*) ;;
      *'"initialize"'*) echo '{"jsonrpc":"2.0","id":"'$id'","result":{"protocolVersion":"2025-11-25","capabilities":{}}}' ;;
      *'"ping"'*) echo '{"jsonrpc":"2.0","id":"'$id'","result":{}}' ;;
    esac
  done`,
]

/** A generator of whole numbers below a limit (mulberry32), so that each run is the same. */
const createRandom = (seed: number) => {
  let state = seed
  return (below: number): number => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

/** Sends a request on a connection of its own; resolves with the head, and never fails. */
const send = (url: string, method: string, session: string | undefined, message?: unknown) => {
  const head = Promise.withResolvers<string | undefined>()
  const headers = {
    connection: "close",
    ...(session === undefined ? {} : { "mcp-session-id": session }),
    ...(message === undefined ? {} : { "content-type": "application/json" }),
  }
  const sent = request(url, { method, headers, agent: false }, (response) => {
    response.on("error", () => {}).resume()
    const id = response.headers["mcp-session-id"]
    head.resolve(typeof id === "string" ? id : undefined)
  })
  sent.on("error", () => head.resolve(undefined))
  sent.end(message === undefined ? undefined : JSON.stringify(message))
  return { head: head.promise, sent }
}

const ping = { jsonrpc: "2.0", id: 1, method: "ping" }
const never = { jsonrpc: "2.0", id: 2, method: "tools/call", params: { name: "x" } }

/** Leaves a session in one of many states; the numbers choose which. */
const tear = async (url: string, random: (below: number) => number): Promise<void> => {
  const open: ClientRequest[] = []
  const leave = () => {
    for (const each of open) each.destroy()
  }
  const begin = (method: string, session: string | undefined, message?: unknown) => {
    const { head, sent } = send(url, method, session, message)
    open.push(sent)
    return head
  }
  const { params, ...others } = initialize()
  const isSlow = random(4) === 0
  const opened = begin("POST", undefined, { ...others, params: isSlow ? { ...params, slow: "slow" } : params })
  if (isSlow) {
    // another session's round trip later the server has it, or the bridge, or it is still on its way
    if (random(2) === 0) await send(url, "POST", "none", ping).head
    return leave()
  }
  const session = await opened
  if (session === undefined) throw new Error("no session was opened")
  if (random(2) === 0) await begin("POST", session, ping)
  if (random(2) === 0) void begin("POST", session, never)
  if (random(2) === 0) void begin("GET", session)
  if (random(3) === 0) await begin("GET", session)
  if (random(4) === 0) return leave()
  await send(url, "DELETE", session).head
  if (random(2) === 0) leave()
}

/** Opens and tears sessions, some at once, and waits until nothing of them is left. */
const tearMany = async (bridge: BridgeApart, count: number, random: (below: number) => number): Promise<void> => {
  let left = count
  const work = async () => {
    while (left-- > 0) await tear(bridge.url, random)
  }
  await Promise.all(Array.from({ length: 8 }, work))
  const ended = () => bridge.log.filter((line) => line.includes(": ended")).length
  await eventually(() => ended() === bridge.pids().length, 30_000, "all processes have ended")
}

test("500 sessions that were torn in any state leave no process, no descriptor and no memory", async () => {
  const bridge = await startApart(cheap, { maxProcesses: 600, idleMs: 500, graceMs: 1_000, silenceMs: 20 })
  const random = createRandom(11)
  // what is loaded and compiled once is no leak
  await tearMany(bridge, 60, random)
  const [descriptors, bytes] = [(await bridge.usage()).descriptors, await bridge.collected()]
  await tearMany(bridge, 500, random)
  expect(bridge.pids().length).toBeGreaterThan(450)
  expect(bridge.pids().flatMap((pid) => processesOfGroup(pid))).toEqual([])
  // a zombie exists until its parent has waited for it
  for (const pid of bridge.pids()) expect(() => process.kill(pid, 0)).toThrow("ESRCH")
  await eventually(async () => (await bridge.usage()).descriptors <= descriptors, 10_000, "descriptors are closed")
  expect((await bridge.collected()) - bytes).toBeLessThan(2 * 2 ** 20)
}, 120_000)
