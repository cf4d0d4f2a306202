import type { ClockPort } from "../ports/clock.ts"
import type { Placement, PlacementPort } from "./placement/port.ts"
import { probe } from "./placement/probe.ts"
import { whileThere } from "./reinitialize.ts"
import type { OpenSession } from "./session.ts"

/** What is known of the lives of servers that sessions were opened in. */
export type Lives = {
  /**
   * True if the life that opened the session is over. Asks the API server, because the cache of this replica may be the
   * one that is behind; once for each life that is over, since none comes back. `seen` is what the cache says.
   */
  isOver(session: OpenSession, seen: Placement, signal: AbortSignal): Promise<boolean>
}

/** How many ended lives are remembered. */
const rememberedLives = 10_000

/** True if the session was opened by that life of the server. */
export const isSameLife = (session: OpenSession, placement: Placement): boolean =>
  session.incarnation === placement.incarnation && session.instanceUID === placement.instanceUID

/** Knows nothing at first. */
export const createLives = ({ currentIncarnation }: Pick<PlacementPort, "currentIncarnation">): Lives => {
  const ended = new Set<string>()
  const remember = (life: string): void => {
    const [oldest] = ended.size >= rememberedLives ? ended : []
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

/**
 * True if the server that broke off a stream lives on: it takes connections, and its life is still the same when its node must
 * have noticed an end. Takes up to five seconds; rejects with the signal's reason.
 */
export type LivesOn = (placement: Placement, signal: AbortSignal) => Promise<boolean>

/** How long the end of a server may be unknown to the API server: its node looks once a second. */
const noticeMs = 5_000
const lookMs = 1_000

/**
 * Makes what finds that out, once for all broken streams of one life at the same time: a server that breaks off a thousand must
 * not have the API server asked for each.
 */
export const createLivesOn = (deps: {
  readonly placement: Pick<PlacementPort, "currentIncarnation">
  readonly clock: ClockPort
}): LivesOn => {
  const { placement, clock } = deps
  const running = new Map<string, Promise<boolean>>()
  const look = async (at: Placement): Promise<boolean> => {
    // whoever leaves must not end it for the others
    const { signal } = new AbortController()
    for (const until = clock.now() + noticeMs; clock.now() < until; await clock.sleep(lookMs, signal)) {
      if ((await probe(at.url, undefined, signal)) === "refused") return false
      if ((await placement.currentIncarnation(at, signal)) !== at.incarnation) return false
    }
    return true
  }
  return (at, signal) => {
    const life = `${at.instanceUID} ${at.incarnation}`
    const known = running.get(life)
    if (known !== undefined) return whileThere(known, signal)
    const looking = look(at).finally(() => running.delete(life))
    running.set(life, looking)
    // nobody may be left to hear that it failed
    looking.catch(() => {})
    return whileThere(looking, signal)
  }
}
