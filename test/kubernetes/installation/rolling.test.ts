/** Three gateways are restarted one after the other, while users call and listen through their Service. */
import { createHash, randomBytes } from "node:crypto"
import { EventEmitter, once } from "node:events"
import { text } from "node:stream/consumers"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest"
import { envelope } from "../../support/modern.ts"
import { initialize } from "../../support/reflow.ts"
import { cluster, kubectl } from "../support/cluster.ts"
import { ensureImages } from "../support/images.ts"
import {
  applyFolders,
  instanceNamespace,
  isRolledOut,
  makeRoom,
  ownNamespace,
  reconfigure,
  serviceIP,
} from "../support/install.ts"
import { answerTo, type Caller, createCaller, type Load, send, startLoad } from "../support/load.ts"

const perSecond = 200
const names = ["alice", "bob", "carol", "dave"]
const tokens = names.map(() => randomBytes(24).toString("base64url"))
const uri = "test://counter"

/** A legacy session. */
type Session = { readonly caller: Caller; readonly id: string }

/** A session's GET stream, opened anew a second after each end, as clients of the protocol do. */
type Stream = {
  /** How often it was opened. */
  opened: number
  /** Whether it has heard of a change since this was set to false. */
  hears: boolean
  /** Told when it has been opened and when it hears something. */
  readonly news: EventEmitter
  isOpen: boolean
}

let callers: readonly Caller[] = []

beforeAll(async () => {
  await ensureImages(["gateway", "dual"], cluster)
  await makeRoom()
  await applyFolders()
  await isRolledOut()
  const ip = await serviceIP()
  await kubectl(["scale", "deployment/reflow-gateway", "--replicas=3", "-n", ownNamespace])
  await reconfigure(({ gateway, ...config }) => ({
    ...config,
    gateway: { ...gateway, allowed_hosts: [ip] },
    auth: {
      tokens: names.map((name, index) => ({
        name,
        subject: name,
        sha256: createHash("sha256")
          .update(tokens[index] ?? "")
          .digest("hex"),
        for: ["mcp"],
      })),
    },
  }))
  const spec = { image: "ghcr.io/reflow/example-dual:1.0.0", port: 8080, isolationBoundary: "per_user" }
  const target = {
    apiVersion: "mcp.reflow.io/v1alpha1",
    kind: "MCPTarget",
    metadata: { name: "dual", namespace: instanceNamespace },
    spec: { ...spec, statefulness: "stateful" },
  }
  await kubectl(["apply", "-f", "-"], { input: JSON.stringify(target) })
  await kubectl(["wait", "--for=condition=Accepted", "mcpt/dual", "-n", instanceNamespace, "--timeout=30s"])
  callers = tokens.map((token) => createCaller(`http://${ip}/mcp/dual`, token))
}, 600_000)
afterAll(() => {
  for (const { agent } of callers) agent.destroy()
})

const inSession = ({ id }: Session) => ({ "mcp-session-id": id, "mcp-protocol-version": "2025-11-25" })

const openSession = async (caller: Caller): Promise<Session> => {
  const { headers } = await answerTo(caller, { message: initialize() }, 1)
  const session = { caller, id: String(headers["mcp-session-id"]) }
  const message = { jsonrpc: "2.0", method: "notifications/initialized" }
  const accepted = await send(caller, { message, headers: inSession(session) })
  accepted.resume()
  expect(accepted.statusCode).toBe(202)
  await ask(session, "resources/subscribe", { uri })
  return session
}

/** A request of a session; its answer must be a result of the same session. */
const ask = async (session: Session, method: string, params: object, id: number | string = 1) => {
  const message = { jsonrpc: "2.0", id, method, params }
  const { headers, answer } = await answerTo(session.caller, { message, headers: inSession(session) }, id)
  if (![undefined, session.id].includes(headers["mcp-session-id"] as string))
    throw new Error("another session answered")
  if (answer.result === undefined) throw new Error(JSON.stringify(answer))
  return answer.result
}

const textOf = (result: { content?: readonly { text?: string }[] }): string => result.content?.[0]?.text ?? ""

const echoes = (said: string, message: string): void => {
  if (said !== `Echo: ${message}`) throw new Error(`«${said}» is no echo of «${message}»`)
}

const callLegacy = async (session: Session, message: string): Promise<void> =>
  echoes(textOf(await ask(session, "tools/call", { name: "echo", arguments: { message } }, message)), message)

const callModern = async (caller: Caller, name: string, args: object, id: string): Promise<string> => {
  const params = { name, arguments: args, _meta: envelope }
  const message = { jsonrpc: "2.0", id, method: "tools/call", params }
  const headers = { "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": name }
  return textOf((await answerTo(caller, { message, headers }, id)).answer.result ?? {})
}

/** Of ten requests six are modern calls, three calls of sessions, one lists a session's tools. */
const mix =
  (sessions: readonly Session[]) =>
  (index: number): readonly [string, Promise<unknown>] => {
    const at = <T>(all: readonly T[]): T => all[Math.floor(index / 10) % all.length] as T
    const message = `number ${index}`
    const kind = index % 10
    if (kind < 6) {
      const said = callModern(callers[index % callers.length] as Caller, "echo", { message }, message)
      return ["a modern call", said.then((heard) => echoes(heard, message))]
    }
    if (kind < 9) return ["a session's call", callLegacy(at(sessions), message)]
    return ["a session's list", ask(at(sessions), "tools/list", {}, message)]
  }

/** Calls that are open for longer than endpoints are waited for: one whose answer comes at its end, one that streams. */
const callLong = (session: Session, load: Load, index: number): void => {
  const slow = callModern(session.caller, "slow", { seconds: 6 }, `slow ${index}`)
  load.count(
    "a slow call",
    slow.then((said) => expect(said).toBe("slept 6 seconds")),
  )
  const params = { name: "progress", arguments: { steps: 300 }, _meta: { progressToken: `progress ${index}` } }
  const streamed = ask(session, "tools/call", params, `stream ${index}`)
  load.count(
    "a call that streams",
    streamed.then((result) => expect(textOf(result)).toBe("300 steps done")),
  )
}

/** Listens until `signal`; an end of the stream is none of the failures, an opening that is refused is. */
const listen = (session: Session, load: Load, signal: AbortSignal): Stream => {
  const stream: Stream = { opened: 0, hears: false, isOpen: false, news: new EventEmitter() }
  const openOnce = async (): Promise<void> => {
    const response = await send(session.caller, { method: "GET", headers: inSession(session) })
    if (response.statusCode !== 200) throw new Error(`${response.statusCode}: ${await text(response)}`)
    stream.opened++
    stream.isOpen = true
    stream.news.emit("news")
    signal.addEventListener("abort", () => response.destroy(), { once: true })
    try {
      for await (const chunk of response) {
        stream.hears ||= String(chunk).includes("resources/updated")
        stream.news.emit("news")
      }
    } catch {
      // cut, which a client takes as an end
    }
    stream.isOpen = false
  }
  const goOn = async (): Promise<void> => {
    for (; !signal.aborted; await sleep(1_000)) {
      const opening = openOnce()
      load.count("a stream", opening)
      await opening.catch(() => {})
    }
  }
  void goOn()
  return stream
}

/** Resolves when `is` is true of each stream; fails after 20 s. */
const allAre = async (streams: readonly Stream[], is: (stream: Stream) => boolean, what: string): Promise<void> => {
  const late = AbortSignal.timeout(20_000)
  const each = streams.map(async (stream) => {
    while (!is(stream)) await once(stream.news, "news", { signal: late })
  })
  const failed = (await Promise.allSettled(each)).filter(({ status }) => status === "rejected")
  if (failed.length > 0) throw new Error(`${failed.length} of ${streams.length} streams are not ${what}`)
}

/** Each stream is open, and hears of a change in its own session. */
const allHear = async (streams: readonly Stream[]): Promise<void> => {
  await allAre(streams, ({ isOpen }) => isOpen, "open")
  for (const stream of streams) stream.hears = false
  for (const [index, caller] of callers.entries()) await callModern(caller, "touch", {}, `touch ${index}`)
  await allAre(streams, ({ hears }) => hears, "told of a change")
}

const podsOf = async (namespace: string, labels: string): Promise<string[]> =>
  (await kubectl(["get", "pods", "-n", namespace, "-l", labels, "-o", "name"])).trim().split("\n").sort()
const gateways = () => podsOf(ownNamespace, "app.kubernetes.io/name=reflow-gateway")
const servers = () => podsOf(instanceNamespace, "mcp.reflow.io/instance")

/** `kubectl rollout restart`, until the last of the old Pods is gone. */
const restartAll = async (): Promise<void> => {
  const old = await gateways()
  expect(old).toHaveLength(3)
  await kubectl(["rollout", "restart", "deployment/reflow-gateway", "-n", ownNamespace])
  await isRolledOut()
  await kubectl(["wait", "--for=delete", ...old, "-n", ownNamespace, "--timeout=100s"], { timeoutMs: 110_000 })
  expect((await gateways()).filter((name) => old.includes(name))).toEqual([])
}

// only where this machine is the node does it reach the Service itself, which spreads connections over the Pods
test.skipIf(cluster.origin !== "built")(
  "a rolling restart under load fails no request, and sessions and streams go on",
  { timeout: 180_000 },
  async () => {
    const sessions = (
      await Promise.all(callers.map((caller) => Promise.all([1, 2, 3].map(() => openSession(caller)))))
    ).flat()
    const before = await servers()
    const load = startLoad(perSecond, mix(sessions))
    const end = new AbortController()
    let calls = 0
    const long = setInterval(() => callLong(sessions[calls % sessions.length] as Session, load, calls++), 2_000)
    const stop = (): Promise<number> => {
      clearInterval(long)
      end.abort()
      return load.stop()
    }
    onTestFinished(() => void stop())
    const streams = sessions.filter((_, index) => index % 3 < 2).map((session) => listen(session, load, end.signal))
    /** Whatever fails here, the requests that failed tell why. */
    const step = async (name: string, work: Promise<void>): Promise<void> => {
      load.count(name, work)
      await work.catch(() => {})
    }
    await step("what streams hear before it", allHear(streams))
    await step("the restart", restartAll())
    await step("what streams hear after it", allHear(streams))
    const requests = await stop()
    // enough of them to see the cause
    expect(load.failures.slice(0, 30), `${load.failures.length} of ${requests} requests failed`).toEqual([])
    expect(streams.map(({ opened }) => opened > 1)).toEqual(streams.map(() => true))
    for (const [index, session] of sessions.entries()) await callLegacy(session, `afterwards ${index}`)
    expect(await servers()).toEqual(before)
  },
)
