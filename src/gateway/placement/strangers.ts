/**
 * Who answers at the address of a Service? It routes to a Ready Pod only, and a node that knows it refuses connections
 * before. Until the node knows it, packets to its address leave by the default route, where a stranger (a transparent
 * proxy, a firewall) may accept the connection: requests sent there would be lost to it.
 */
import type { ClockPort } from "../../ports/clock.ts"

/** A network where a stranger answered once is taken for one with strangers for this long. */
const rememberMs = 60 * 60_000
/** From this long after the Pod became Ready, every node is taken to know the Service. */
const settledMs = 15_000

/** What a replica has seen of one life of a server. */
export type ServiceSigns = {
  /** When the Pod was first seen Ready; undefined = it has not been. */
  readyAt?: number
  /** What the last probe told that tells anything: nobody answers yet, as it should be, or somebody who is not the server. */
  told?: "nobody" | "stranger"
}

/** The strangers of this network. */
export type Strangers = {
  /**
   * Takes the outcome of one probe of the Service, and says whether its answer is the server's. `listens`: the server
   * takes connections at its Pod's own address; asked only before the Pod is Ready.
   */
  judge(signs: ServiceSigns, answered: boolean, listens: boolean): boolean
}

/** Knows no stranger yet. `onStranger` is told of the first one in an hour. */
export const createStrangers = (clock: ClockPort, onStranger: () => void): Strangers => {
  let metAt = Number.NEGATIVE_INFINITY
  const isKnown = (): boolean => clock.now() - metAt < rememberMs

  return {
    judge: (signs, answered, listens) => {
      if (!answered) {
        signs.told = "nobody"
        return false
      }
      if (signs.readyAt !== undefined) {
        const safe = signs.told === "nobody" || (signs.told === undefined && !isKnown())
        return safe || clock.now() - signs.readyAt >= settledMs
      }
      // a server that listens may be routed to a moment before its Pod is seen Ready here: that tells nothing
      if (listens) return false
      signs.told = "stranger"
      if (!isKnown()) onStranger()
      metAt = clock.now()
      return false
    },
  }
}
