import type { MCPTarget } from "../../api/kinds/mcp-target.ts"
import { AppError } from "../../errors.ts"
import type { Message } from "../../mcp/message.ts"
import { factsOf } from "../../mcp/methods.ts"
import type { Placement, PlacementPort } from "../../placement/port.ts"
import type { ClockPort } from "../../ports/clock.ts"
import { realSignal } from "../../waiting/in-progress.ts"
import type { Keyed, Placed } from "../pipeline.ts"
import { isDialFailure } from "../wire/upstream-answer.ts"
import type { Reopener } from "./reopen.ts"
import type { OpenSession } from "./session.ts"

/** Remembers which incarnations are over, of those in which sessions were opened. */
type EndedIncarnations = {
  /**
   * True if the incarnation that opened the session is over. Asks the API server, because the cache of this replica may
   * be behind; does not ask again about an incarnation that is over, since none comes back, and for five seconds about
   * that of a remote server. `seen` is the placement by the cache.
   */
  isOver(session: OpenSession, seen: Placement, signal: AbortSignal): Promise<boolean>
}

/** Most ended incarnations that are remembered; the oldest is forgotten first. */
const rememberedIncarnations = 10_000

/** True if the session was opened by this incarnation of the server. */
export const isSameIncarnation = (session: OpenSession, placement: Placement): boolean =>
  session.incarnation === placement.incarnation && session.instanceUID === placement.instanceUID

/**
 * True if sessions end while the target's server runs on: those of a stdio server end with their process, and those of a
 * remote server when it starts anew, of which nobody here hears.
 */
export const endsSessionsAlone = ({ spec }: MCPTarget): boolean => spec.stdio !== undefined || spec.remote !== undefined

/** How long a verdict on a remote server's incarnation is repeated, milliseconds. */
const remoteVerdictMs = 5_000

const createEndedIncarnations = ({ placement, clock }: FindServerDeps): EndedIncarnations => {
  /** Until when each counts as over, milliseconds since the epoch. */
  const ended = new Map<string, number>()
  const remember = (id: string, until: number): void => {
    ended.delete(id)
    const [oldest] = ended.size >= rememberedIncarnations ? ended.keys() : []
    if (oldest !== undefined) ended.delete(oldest)
    ended.set(id, until)
  }
  return {
    isOver: async ({ instanceUID, incarnation }, seen, signal) => {
      const id = `${instanceUID} ${incarnation}`
      const now = clock.now()
      if (now < (ended.get(id) ?? 0)) return true
      // the cache may show another instance than the session's: ask about the session's
      const over = (await placement.currentIncarnation({ ...seen, instanceUID }, signal)) !== incarnation
      // that of a remote server comes back when its credentials are set back
      if (over) remember(id, seen.remote === undefined ? Number.POSITIVE_INFINITY : now + remoteVerdictMs)
      return over
    },
  }
}

type FindServerDeps = {
  readonly placement: PlacementPort
  readonly reopener: Reopener
  readonly clock: Pick<ClockPort, "now">
}

type Settling = FindServerDeps & { readonly ended: EndedIncarnations }

/** The error for a session whose incarnation, and with it its state, is over. */
export const sessionGone = (): AppError =>
  new AppError("SessionNotFound", { detail: "The server that held this session is gone." })

/**
 * True if all messages belong to calls that are open already. A draining instance still gets them: otherwise its drain
 * would wait for those calls in vain.
 */
const belongToOpenCalls = (messages: readonly Message[]): boolean =>
  messages.length > 0 &&
  messages.every(
    (message) =>
      message.kind === "response" ||
      (message.kind === "notification" && factsOf(message.method).continuesCall === true),
  )

const ask = (deps: FindServerDeps, input: Keyed): Placement | Promise<Placement> =>
  deps.placement.place({
    target: input.target,
    identity: input.identity,
    subjectKey: input.subjectKey,
    requestId: input.requestId,
    mode: input.mode,
    continues: belongToOpenCalls(input.messages),
    signal: input.signal,
  })

/** The error for a session whose server runs, but is not in this replica's cache yet. */
const behind = (): AppError =>
  new AppError("InstanceStarting", {
    detail: "This replica does not know the session's server yet.",
    retryAfterSeconds: 1,
  })

/**
 * For a session and a cache that name different incarnations: finds out which of the two is outdated, and where the
 * session belongs. Throws SessionNotFound if the incarnation of a stateful session is over, InstanceStarting if the
 * cache is behind.
 */
const settle = async (deps: Settling, input: Keyed, session: OpenSession, seen: Placement): Promise<Placement> => {
  if (deps.reopener.isOpen(session, seen)) return seen
  const over = await deps.ended.isOver(session, seen, realSignal(input.signal))
  if (over && input.target.spec.statefulness === "stateful") throw sessionGone()
  // by now the cache knows the API server's answer
  const again = await ask(deps, input)
  if (over || isSameIncarnation(session, again)) return again
  throw behind()
}

/**
 * The server's session id at the placement: the session's own, or that of a session opened again on the new
 * incarnation.
 */
const upstreamSessionOf = async (
  { placement, reopener }: FindServerDeps,
  input: Keyed,
  session: OpenSession,
  found: Placement,
): Promise<string | undefined> => {
  if (isSameIncarnation(session, found) && !reopener.isOpen(session, found)) return session.upstreamId
  // count the opening as a call, so that a drain does not end before the call that follows
  const end = placement.beginCall(found)
  try {
    return await reopener.reopen(session, found, input)
  } finally {
    end()
  }
}

/** Most further placements that are tried for a session whose server cannot be reached. */
const maxMoves = 2

/**
 * Finds the placement of a session and the server's session id there; asks for another placement while the server
 * cannot be reached.
 */
const placeSession = async (deps: Settling, input: Keyed, session: OpenSession, first: Placement): Promise<Placed> => {
  let found = first
  for (let moves = 0; ; moves++) {
    const placement = isSameIncarnation(session, found) ? found : await settle(deps, input, session, found)
    try {
      return { ...input, placement, upstreamSession: await upstreamSessionOf(deps, input, session, placement) }
    } catch (error) {
      if (moves === maxMoves || !isDialFailure(error)) throw error
      deps.placement.reportUnreachable(placement)
      found = await ask(deps, input)
    }
  }
}

/** Adds the placement and the server's session id; synchronous unless the session belongs to another incarnation. */
const withSession = (deps: Settling, input: Keyed, found: Placement): Placed | Promise<Placed> => {
  const { session } = input
  if (session === undefined) return { ...input, placement: found, upstreamSession: undefined }
  // one of the sessions that end alone may have been opened again on the same incarnation
  const mayBeAnother = endsSessionsAlone(input.target) && deps.reopener.isOpen(session, found)
  if (isSameIncarnation(session, found) && !mayBeAnother)
    return { ...input, placement: found, upstreamSession: session.upstreamId }
  return placeSession(deps, input, session, found)
}

/**
 * Finds the server of a request: finds the instance or has it created, and makes sure that a session reaches the
 * incarnation that knows it. Synchronous if the instance is warm. Throws or rejects with what placement throws,
 * SessionNotFound, and what opening a session again throws.
 */
export const findServer = (deps: FindServerDeps) => {
  const settling = { ...deps, ended: createEndedIncarnations(deps) }
  return (input: Keyed): Placed | Promise<Placed> => {
    const found = ask(deps, input)
    return found instanceof Promise
      ? found.then((placement) => withSession(settling, input, placement))
      : withSession(settling, input, found)
  }
}
