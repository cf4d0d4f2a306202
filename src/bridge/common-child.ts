import type { AppError } from "../errors.ts"
import { isRecord } from "../mcp/message.ts"
import { firstModern, newestLegacy } from "../mcp/versions.ts"
import { version } from "../version.ts"
import { type Envelope, readEnvelope, sourceOf } from "./envelope.ts"
import { diedError, type Mask, silentError } from "./explain.ts"
import type { Peer, ServerMessage } from "./peer.ts"
import type { Processes, Started } from "./processes.ts"
import { errorText, refusalText, resultText } from "./rpc.ts"

/** What a server said when the bridge opened it: members of the result of `initialize` or `server/discover`. */
export type Opening = Readonly<Record<string, unknown>>

/** A child that serves many clients. */
export type CommonChild = {
  readonly peer: Peer
  /** The server's answer to the bridge. */
  readonly opening: Opening
  /** Gets the notifications that name no call. */
  readonly listeners: Set<(message: ServerMessage) => void>
  /** Since when it has no calls, by `performance.now()`; undefined while it has some. */
  readonly idleSince: number | undefined
  /** True once the process has ended or its end was asked for. */
  readonly isOver: boolean
  end(): Promise<void>
}

/** What opening a common child needs. */
export type CommonDeps = {
  readonly processes: Processes
  readonly startMs: number
  /** How long a server may take to answer `server/discover`, milliseconds. */
  readonly discoverMs: number
  readonly mask: Mask | undefined
}

const clientInfo = { name: "reflow-bridge", version }

/** The server cannot ask what concerns one client: nobody knows which. */
const refuse = (peer: Peer, { text, envelope, method }: ServerMessage): void => {
  if (envelope.id === undefined) return
  const id = sourceOf(text, envelope.id)
  peer.send(
    method === "ping" ? resultText(id, {}) : refusalText(id, -32601, "This server is shared: it has no client to ask."),
  )
}

/** What a server answered to a request of the bridge. */
type Answer = { readonly result: Opening | undefined }

/** A request of the bridge itself. Resolves with the answer; undefined if none comes before the signal's abort. */
export const ask = (peer: Peer, method: string, params: object, signal: AbortSignal): Promise<Answer | undefined> =>
  new Promise((resolve) => {
    const text = JSON.stringify({ jsonrpc: "2.0", id: 0, method, params })
    const answer = (answered: string): void => {
      const { result }: Envelope = readEnvelope(answered, false)
      const value: unknown = result === undefined ? undefined : JSON.parse(sourceOf(answered, result))
      resolve({ result: isRecord(value) ? value : undefined })
    }
    const call = peer.call(text, readEnvelope(text, false), { note: () => {}, answer, over: () => answer("{}") })
    const giveUp = () => {
      peer.forget(call)
      resolve(undefined)
    }
    signal.addEventListener("abort", giveUp, { once: true })
  })

/** The child as one that serves many, after it has answered. */
const toCommon = ({ child, peer }: Started, opening: Opening, listeners: CommonChild["listeners"]): CommonChild => {
  let lastUse = performance.now()
  let isOver = false
  void child.ended.then(() => {
    isOver = true
  })
  return {
    peer,
    opening,
    listeners,
    get isOver() {
      return isOver
    },
    get idleSince() {
      if (peer.open === 0) return lastUse
      lastUse = performance.now()
      return undefined
    },
    end: () => {
      isOver = true
      return child.end()
    },
  }
}

/** Starts a child whose calls are answered with its death when it dies. */
const start = async ({ processes, mask }: CommonDeps, listeners: CommonChild["listeners"]): Promise<Started> => {
  const started: Started = await processes.take({
    request: (message) => refuse(started.peer, message),
    notification: (message) => {
      for (const listen of listeners) listen(message)
    },
  })
  const { child, peer } = started
  void child.ended.then((death) => {
    const error = diedError(child, death, mask)
    for (const { sink, idText } of peer.takeAll()) sink.answer(errorText(error, idText))
  })
  return started
}

/** The error of a child that did not open: its death, its silence, or what it answered. */
const whyNot = async ({ child }: Started, { mask, startMs }: CommonDeps, isLate: boolean): Promise<AppError> => {
  if (isLate) return silentError(child, startMs, mask)
  await child.end()
  return diedError(child, await child.ended, mask)
}

/**
 * Starts a child and opens a session of the legacy era in it, without the capabilities by which a server asks a client.
 * Throws ServerProcessEnded, ProcessesExhausted.
 */
export const openLegacy = async (deps: CommonDeps): Promise<CommonChild> => {
  const listeners: CommonChild["listeners"] = new Set()
  const started = await start(deps, listeners)
  const params = { protocolVersion: newestLegacy, capabilities: {}, clientInfo }
  const answer = await ask(started.peer, "initialize", params, AbortSignal.timeout(deps.startMs))
  const opening = answer?.result
  if (opening === undefined) {
    const error = await whyNot(started, deps, answer === undefined)
    void started.child.end()
    throw error
  }
  started.peer.send(JSON.stringify({ jsonrpc: "2.0", method: "notifications/initialized" }))
  return toCommon(started, opening, listeners)
}

/** What the bridge's own requests of the modern era say of their client. */
export const envelope = {
  "io.modelcontextprotocol/protocolVersion": firstModern,
  "io.modelcontextprotocol/clientInfo": clientInfo,
  "io.modelcontextprotocol/clientCapabilities": {},
}

/** Resolves with the answer to `server/discover`; undefined if the server is silent though it runs, or too slow. */
const discover = async ({ peer }: Started, { startMs, discoverMs }: CommonDeps): Promise<Opening | undefined> => {
  const limit = AbortSignal.timeout(startMs)
  const answer = ask(peer, "server/discover", { _meta: envelope }, limit)
  const late = Promise.withResolvers<"late">()
  const timer = setTimeout(() => late.resolve("late"), discoverMs)
  const first = await Promise.race([answer, late.promise])
  clearTimeout(timer)
  if (first !== "late") return first?.result
  // a server that is still starting answers neither; one of the legacy era that ignores what it does not know, only ping
  const ping = ask(peer, "ping", {}, limit).then(() => undefined)
  return (await Promise.race([answer, ping]))?.result
}

/**
 * Starts a child and asks whether it speaks the modern era; undefined if it does not, and the child is ended then,
 * since a request that it did not expect may have confused it. Throws ProcessesExhausted.
 */
export const openModern = async (deps: CommonDeps): Promise<CommonChild | undefined> => {
  const listeners: CommonChild["listeners"] = new Set()
  const started = await start(deps, listeners)
  const opening = await discover(started, deps)
  const { supportedVersions } = opening ?? {}
  if (opening !== undefined && Array.isArray(supportedVersions) && supportedVersions.includes(firstModern))
    return toCommon(started, opening, listeners)
  void started.child.end()
  return undefined
}
