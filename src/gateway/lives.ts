import type { Placement, PlacementPort } from "./placement/port.ts"
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
