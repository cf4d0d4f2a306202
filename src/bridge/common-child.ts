import type { AppError } from "../errors.ts"
import { isRecord } from "../mcp/message.ts"
import { firstModern, newestLegacy } from "../mcp/versions.ts"
import { version } from "../version.ts"
import { idTextOf, parsedAt, readEnvelope, stringOf } from "./envelope.ts"
import { changedError, diedError, type Mask, silentError } from "./explain.ts"
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
  /** Get the notifications that name no call, with the resource that such a one names. */
  readonly listeners: Set<(message: ServerMessage, uri: string | undefined) => void>
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

/** The answer to a request of the server, which cannot ask what concerns one client: nobody knows which. */
const refusalOf = (message: ServerMessage): string => {
  const id = idTextOf(message)
  return message.method === "ping"
    ? resultText(id, {})
    : refusalText(id, -32601, "This server is shared: it has no client to ask.")
}

/** What a server answered to a request of the bridge. */
type Answer = { readonly result: Opening | undefined }

/** A request of the bridge itself. Resolves with the answer; undefined if none comes before the signal's abort. */
export const ask = (peer: Peer, method: string, params: object, signal: AbortSignal): Promise<Answer | undefined> =>
  new Promise((resolve) => {
    // a child that has ended answers no more calls, not even with its death
    if (peer.isOver) return void resolve({ result: undefined })
    const text = JSON.stringify({ jsonrpc: "2.0", id: 0, method, params })
    const answer = (answered: string): void => {
      // else the abort of a question with an answer would count as use
      signal.removeEventListener("abort", giveUp)
      const value = parsedAt(answered, readEnvelope(answered, false).result)
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
      return peer.idleSince
    },
    end: () => {
      isOver = true
      return child.end()
    },
  }
}

/** Starts a child whose calls are answered with its death when it dies. */
const start = async ({ processes, mask }: CommonDeps, listeners: CommonChild["listeners"]): Promise<Started> => {
  let isDeaf = false
  const started: Started = await processes.take({
    request: (message) => {
      if (started.child.drained() === undefined) return void started.peer.send(refusalOf(message))
      // it would be written for as long as the server asks
      if (!isDeaf) processes.tell(started.label, "(it asks, and does not read the answers: they are dropped)")
      isDeaf = true
    },
    notification: (message) => {
      // once for all sessions, of which there may be thousands
      const uri = stringOf(message.text, message.envelope.uri)
      for (const listen of listeners) listen(message, uri)
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

/**
 * Resolves with the answer to `server/discover`, which has no result if it is an error, if the server answers a ping
 * instead, or if its process has ended; undefined if it answers nothing in time.
 */
const discover = async ({ peer }: Started, { startMs, discoverMs }: CommonDeps): Promise<Answer | undefined> => {
  const limit = AbortSignal.timeout(startMs)
  const answer = ask(peer, "server/discover", { _meta: envelope }, limit)
  const late = Promise.withResolvers<"late">()
  const timer = setTimeout(() => late.resolve("late"), discoverMs)
  const first = await Promise.race([answer, late.promise])
  clearTimeout(timer)
  if (first !== "late") return first
  // a server that is still starting answers neither; one of the legacy era that ignores what it does not know, only ping
  const ping = ask(peer, "ping", {}, limit).then((pong) => pong && { result: undefined })
  return await Promise.race([answer, ping])
}

/** What a child is that was asked for its era. Where it is not modern, `error` says why for one that was before. */
export type Discovered =
  | { readonly kind: "modern"; readonly common: CommonChild }
  /** `ended`: its process ended at the question, as some of the legacy era do. `silent`: it answered nothing at all. */
  | { readonly kind: "legacy" | "ended" | "silent"; readonly error: AppError }

const isModern = (opening: Opening | undefined): opening is Opening =>
  Array.isArray(opening?.supportedVersions) && opening.supportedVersions.includes(firstModern)

/**
 * Starts a child and asks whether it speaks the modern era. If it does not, the child is ended, since a request that it
 * did not expect may have confused it. Throws ProcessesExhausted.
 */
export const openModern = async (deps: CommonDeps): Promise<Discovered> => {
  const listeners: CommonChild["listeners"] = new Set()
  const started = await start(deps, listeners)
  const answer = await discover(started, deps)
  if (isModern(answer?.result)) return { kind: "modern", common: toCommon(started, answer.result, listeners) }
  const { child, peer } = started
  const { mask, startMs } = deps
  if (peer.isOver) return { kind: "ended", error: diedError(child, await child.ended, mask) }
  void child.end()
  if (answer === undefined) return { kind: "silent", error: silentError(child, startMs, mask, "server/discover") }
  return { kind: "legacy", error: changedError(child, mask) }
}
