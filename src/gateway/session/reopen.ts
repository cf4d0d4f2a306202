import { AppError, hasCode } from "../../errors.ts"
import { createAsk, noteInitialized, openSession, type Send } from "../../mcp/client.ts"
import type { Placement } from "../../placement/port.ts"
import type { ClockPort } from "../../ports/clock.ts"
import { realSignal } from "../../waiting/in-progress.ts"
import { unlessAborted } from "../../waiting/until-aborted.ts"
import type { Keyed } from "../pipeline.ts"
import { callServer } from "../wire/call-server.ts"
import type { Upstream } from "../wire/upstream.ts"
import { dropBody } from "../wire/upstream-answer.ts"
import { toWebResponse } from "../wire/web-response.ts"
import type { OpenSession } from "./session.ts"

/**
 * Opens sessions of stateless targets again when their instance was replaced, and remembers the new session of the
 * server for the id that the client knows: clients do not reliably adopt a changed id.
 */
export type Reopener = {
  /**
   * The server's session id that the gateway uses for the client's session on this incarnation. Opens a session if
   * there is none, with one attempt at a time for each id. Undefined if the server has no sessions. Throws
   * SessionNotFound, UpstreamInvalid and what upstream throws.
   */
  reopen(session: OpenSession, placement: Placement, input: Keyed): Promise<string | undefined>
  /** True if the session was opened again on this incarnation of the server, or is about to be. */
  isOpen(session: OpenSession, placement: Placement): boolean
  /**
   * Forgets the server's session that is used for this one, because the server does not know it any more. `used`: its
   * id. A newer one, which another call has opened meanwhile or is about to open, is kept.
   */
  forget(session: OpenSession, used: string | undefined): void
}

/** Longest time to open a session, milliseconds. */
const timeoutMs = 30_000
const rememberedSessions = 10_000
const maxAnswerBytes = 2 ** 20

const refused = (detail: string): AppError =>
  new AppError("UpstreamInvalid", { detail: `The session could not be opened again: ${detail}.` })

type ReopenerDeps = { readonly upstream: Upstream; readonly clock: ClockPort }

type Opening = { readonly session: OpenSession; readonly placement: Placement; readonly input: Keyed }

/**
 * Sends the messages that open the session to the placed server, for the caller of the request that needs the session.
 */
const sendTo =
  ({ upstream, clock }: ReopenerDeps, { placement, input }: Opening, signal: AbortSignal): Send =>
  async ({ verb, body, headers: { "mcp-session-id": session, ...headers } }) => {
    const timing = { headersTimeoutMs: timeoutMs, lane: "call", signal } as const
    const answer = await callServer(upstream, input, { ...timing, placement, verb, headers, session, body })
    // a body that nobody wants is read to its end, so that its connection can carry the next request
    return toWebResponse(answer, { close: () => answer.abort(), cancel: () => void dropBody(answer, clock) })
  }

/** Seconds after which a client should try again whose session found no process. */
const noProcessSeconds = 10

/** The error without the server's own text, which may hold data of another user. */
const toRefused = (status: number, { input }: Opening): AppError => {
  // the bridge of a stdio server has no process for another session: that passes
  if (status === 503 && input.target.spec.stdio !== undefined)
    return new AppError("ProcessesExhausted", {
      detail: "The session's process has ended, and all processes of the server are in use.",
      retryAfterSeconds: noProcessSeconds,
    })
  return refused(
    status === 200
      ? "the server's answer to initialize is no result of MCP"
      : `the server answered ${status} to initialize`,
  )
}

/** Opens the session with the client's own `initialize`. Resolves with the server's session id. */
const openAgain = async (deps: ReopenerDeps, opening: Opening, signal: AbortSignal): Promise<string | undefined> => {
  const ask = createAsk(sendTo(deps, opening, signal), { signal, maxBytes: maxAnswerBytes })
  try {
    const opened = await openSession(ask, opening.session.initialize ?? {})
    if (opened.reply.status !== 200) throw toRefused(opened.reply.status, opening)
    const noted = await noteInitialized(ask, opened)
    if (noted >= 300) throw refused(`the server answered ${noted} to notifications/initialized`)
    return opened.id
  } catch (error) {
    const isAnswer = hasCode(error, "UpstreamInvalid", "UpstreamUnauthorized") && typeof error.data?.status === "number"
    throw isAnswer ? toRefused(Number(error.data?.status), opening) : error
  }
}

type Entry = {
  readonly incarnation: string
  readonly id: Promise<string | undefined>
  /** What `id` resolved with, once it has. */
  opened?: { readonly id: string | undefined }
}

/**
 * Creates the reopener. An attempt continues when the client that caused it disconnects, because its next request needs
 * it.
 */
export const createReopener = (deps: ReopenerDeps): Reopener => {
  const entries = new Map<string, Entry>()

  const start = (session: OpenSession, placement: Placement, input: Keyed): Entry => {
    const limit = new AbortController()
    const cancel = deps.clock.timer(timeoutMs, () => limit.abort(refused("the server took too long")))
    const id = openAgain(deps, { session, placement, input }, limit.signal).finally(cancel)
    const entry: Entry = { incarnation: placement.incarnation, id }
    const drop = (): void => {
      if (entries.get(session.sealed) === entry) entries.delete(session.sealed)
    }
    id.then((opened) => {
      entry.opened = { id: opened }
    }, drop)
    const [oldest] = entries.size >= rememberedSessions ? entries.keys() : []
    if (oldest !== undefined) entries.delete(oldest)
    entries.set(session.sealed, entry)
    return entry
  }
  const find = (session: OpenSession, placement: Placement): Entry | undefined => {
    const entry = entries.get(session.sealed)
    return entry?.incarnation === placement.incarnation ? entry : undefined
  }
  return {
    reopen: async (session, placement, input) => {
      if (session.initialize === undefined) {
        throw new AppError("SessionNotFound", { detail: "The session's server is gone." })
      }
      const entry = find(session, placement) ?? start(session, placement, input)
      return unlessAborted(entry.id, realSignal(input.signal))
    },
    isOpen: (session, placement) => find(session, placement) !== undefined,
    forget: (session, used) => {
      const opened = entries.get(session.sealed)?.opened
      if (opened !== undefined && opened.id === used) entries.delete(session.sealed)
    },
  }
}
