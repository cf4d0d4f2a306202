import { AppError } from "../../errors.ts"
import type { Message } from "../../mcp/message.ts"
import { factsOf } from "../../mcp/methods.ts"
import type { Placement, PlacementPort } from "../../placement/port.ts"
import type { Keyed, Placed } from "../pipeline.ts"
import { isDialFailure } from "../wire/upstream-answer.ts"
import type { Reopener } from "./reopen.ts"
import type { OpenSession } from "./session.ts"

/** What is known of the lives of servers that sessions were opened in. */
type EndedIncarnations = {
  /**
   * True if the life that opened the session is over. Asks the API server, because the cache of this replica may be the
   * one that is behind; once for each life that is over, since none comes back. `seen` is what the cache says.
   */
  isOver(session: OpenSession, seen: Placement, signal: AbortSignal): Promise<boolean>
}

/** How many ended lives are remembered. */
const rememberedIncarnations = 10_000

/** True if the session was opened by that life of the server. */
export const isSameIncarnation = (session: OpenSession, placement: Placement): boolean =>
  session.incarnation === placement.incarnation && session.instanceUID === placement.instanceUID

/** Knows nothing at first. */
const createEndedIncarnations = ({
  currentIncarnation,
}: Pick<PlacementPort, "currentIncarnation">): EndedIncarnations => {
  const ended = new Set<string>()
  const remember = (life: string): void => {
    const [oldest] = ended.size >= rememberedIncarnations ? ended : []
    if (oldest !== undefined) ended.delete(oldest)
    ended.add(life)
  }
  return {
    isOver: async ({ instanceUID, incarnation }, seen, signal) => {
      const life = `${instanceUID} ${incarnation}`
      if (ended.has(life)) return true
      // the instance that the cache shows may be another one than the session's: it is asked about the session's
      const over = (await currentIncarnation({ ...seen, instanceUID }, signal)) !== incarnation
      if (over) remember(life)
      return over
    },
  }
}

/** What finding a server asks. */
type FindServerDeps = { readonly placement: PlacementPort; readonly reopener: Reopener }

type Settling = FindServerDeps & { readonly lives: EndedIncarnations }

/** The session's server is gone, and its state with it. */
export const sessionGone = (): AppError =>
  new AppError("SessionNotFound", { detail: "The server that held this session is gone." })

/** True if the messages belong to calls that are open already: without them a drain waits for those calls in vain. */
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

/** The session's server lives, but not where this replica looks for it. */
const behind = (): AppError =>
  new AppError("InstanceStarting", { detail: "This replica has not caught up yet.", retryAfterSeconds: 1 })

/**
 * The session and the cache disagree about the server's life: finds out which of them is behind, and where the session
 * belongs. Throws SessionNotFound if its life is over and its state with it.
 */
const settle = async (deps: Settling, input: Keyed, session: OpenSession, seen: Placement): Promise<Placement> => {
  if (deps.reopener.isOpen(session, seen)) return seen
  const over = await deps.lives.isOver(session, seen, input.signal)
  if (over && input.target.spec.statefulness === "stateful") throw sessionGone()
  // what the API server said is known by now
  const again = await ask(deps, input)
  if (over || isSameIncarnation(session, again)) return again
  throw behind()
}

/** Where the session stands now: on its own server, or opened again on the one that took its place. */
const upstreamSessionOf = async (
  { placement, reopener }: FindServerDeps,
  input: Keyed,
  session: OpenSession,
  found: Placement,
): Promise<string | undefined> => {
  if (isSameIncarnation(session, found)) return session.upstreamId
  // counts as the call that follows: a drain must not end in between
  const end = placement.beginCall(found)
  try {
    return await reopener.reopen(session, found, input)
  } finally {
    end()
  }
}

/** How often a session is opened elsewhere because its server could not be reached. */
const maxMoves = 2

/** Finds the session's place and what it is called there; looks for another one while the server cannot be reached. */
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

/** Where the session stands now: on its own server, or opened again on the one that took its place. */
const withSession = (deps: Settling, input: Keyed, found: Placement): Placed | Promise<Placed> => {
  const { session } = input
  if (session === undefined) return { ...input, placement: found, upstreamSession: undefined }
  if (isSameIncarnation(session, found)) return { ...input, placement: found, upstreamSession: session.upstreamId }
  return placeSession(deps, input, session, found)
}

/**
 * Finds the server of a request: finds the instance or has it made, and makes sure that a session meets the life of the server that
 * knows it; at once if the instance is warm. Throws or rejects with what placement throws, and SessionNotFound.
 */
export const findServer = (deps: FindServerDeps) => {
  const settling = { ...deps, lives: createEndedIncarnations(deps.placement) }
  return (input: Keyed): Placed | Promise<Placed> => {
    const found = ask(deps, input)
    return found instanceof Promise
      ? found.then((placement) => withSession(settling, input, placement))
      : withSession(settling, input, found)
  }
}
