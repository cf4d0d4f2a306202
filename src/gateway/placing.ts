import { AppError } from "../errors.ts"
import type { Message } from "./message.ts"
import type { Keyed, Placed } from "./pipeline.ts"
import type { Placement, PlacementPort } from "./placement/port.ts"
import type { Reinitializer } from "./reinitialize.ts"
import type { OpenSession } from "./session.ts"

/** What placing asks. */
export type PlacingDeps = { readonly placement: PlacementPort; readonly reinitializer: Reinitializer }

/** The session's server is gone, and its state with it. */
export const sessionGone = (): AppError =>
  new AppError("SessionNotFound", { detail: "The server that held this session is gone." })

/** True if the session was opened by that life of the server. */
export const isSameLife = (session: OpenSession, placement: Placement): boolean =>
  session.incarnation === placement.incarnation && session.instanceUID === placement.instanceUID

const continuing: ReadonlySet<string> = new Set(["notifications/cancelled", "notifications/progress"])

/** True if the messages belong to calls that are open already: without them a drain waits for those calls in vain. */
const belongToOpenCalls = (messages: readonly Message[]): boolean =>
  messages.length > 0 &&
  messages.every(
    (message) => message.kind === "response" || (message.kind === "notification" && continuing.has(message.method)),
  )

const ask = (deps: PlacingDeps, input: Keyed): Placement | Promise<Placement> =>
  deps.placement.place({
    target: input.target,
    identity: input.identity,
    subjectKey: input.subjectKey,
    mode: input.mode,
    continues: belongToOpenCalls(input.messages),
    heldBytes: input.body?.length ?? 0,
    signal: input.signal,
  })

/**
 * A stateful session and the cache disagree about the server's life: the API server decides, because the cache of this
 * replica may be the one that is behind.
 */
const settle = async (deps: PlacingDeps, input: Keyed, session: OpenSession, seen: Placement): Promise<Placement> => {
  const current = await deps.placement.currentIncarnation(seen, input.signal)
  if (current !== session.incarnation) throw sessionGone()
  const again = await ask(deps, input)
  if (isSameLife(session, again)) return again
  throw new AppError("InstanceStarting", { detail: "This replica has not caught up yet.", retryAfterSeconds: 1 })
}

/** The session opened again on the server that took the place of its own. */
const reopen = async (
  { placement, reinitializer }: PlacingDeps,
  input: Keyed,
  session: OpenSession,
  found: Placement,
): Promise<Placed> => {
  // counts as the call that follows: a drain must not end in between
  const end = placement.beginCall(found)
  try {
    return { ...input, placement: found, upstreamSession: await reinitializer.reopen(session, found, input) }
  } finally {
    end()
  }
}

/** Where the session stands now: on its own server, or opened again on the one that took its place. */
const withSession = (deps: PlacingDeps, input: Keyed, found: Placement): Placed | Promise<Placed> => {
  const { session } = input
  if (session === undefined) return { ...input, placement: found, upstreamSession: undefined }
  const upstreamSession = session.upstreamId
  if (isSameLife(session, found)) return { ...input, placement: found, upstreamSession }
  if (input.target.spec.statefulness !== "stateful") return reopen(deps, input, session, found)
  return settle(deps, input, session, found).then((placement) => ({ ...input, placement, upstreamSession }))
}

/**
 * Places a request: finds the instance or has it made, and makes sure that a session meets the life of the server that
 * knows it; at once if the instance is warm. Throws or rejects with what placement throws, and SessionNotFound.
 */
export const place =
  (deps: PlacingDeps) =>
  (input: Keyed): Placed | Promise<Placed> => {
    const found = ask(deps, input)
    return found instanceof Promise
      ? found.then((placement) => withSession(deps, input, placement))
      : withSession(deps, input, found)
  }
