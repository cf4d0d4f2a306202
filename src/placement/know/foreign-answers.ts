/**
 * Who answers at the address of a Service? It routes to a Ready Pod only, and a node that knows it refuses connections
 * before. Until the node knows it, packets to its address leave by the default route, where a stranger (a transparent
 * proxy, a firewall) may accept the connection: requests sent there would be lost to it. The same happens for a moment
 * when a node begins to route: kube-proxy ends the refusal before it adds the route (its tables filter and nat are
 * written one after the other; 5 to 30 ms were measured).
 */
import type { ClockPort } from "../../ports/clock.ts"
import type { Probed } from "./probe.ts"

/** A network where a stranger answered once is taken for one with strangers for this long. */
const rememberMs = 60 * 60_000
/** From this long after the Pod became Ready, every node is taken to know the Service. */
const settledMs = 15_000
/** An answer after a refusal counts once another one came this much later: then the node has finished its change. */
const confirmMs = 250

/** What a replica has seen of one life of a server. */
export type ServiceSigns = {
  /** When the Pod was first seen Ready; undefined = it has not been. */
  readyAt?: number
  /** What the last probe told that tells anything: nobody answers yet, as it should be, or somebody who is not the server. */
  told?: "nobody" | "stranger"
  /** Since when every probe was answered, after one that was refused. */
  answeredSince?: number
}

/** The strangers of this network. */
type Strangers = {
  /**
   * Takes the outcome of one probe of the Service, and says whether its answer is the server's. `listens`: the server
   * takes connections at its Pod's own address; asked only before the Pod is Ready. To be asked again until true.
   */
  judge(signs: ServiceSigns, probed: Probed, listens: boolean): boolean
}

/** Knows no stranger yet. `onStranger` is told of the first one in an hour. */
export const createStrangers = (clock: ClockPort, onStranger: () => void): Strangers => {
  let metAt = Number.NEGATIVE_INFINITY
  const isKnown = (): boolean => clock.now() - metAt < rememberMs

  /** True if what was told of a Ready Pod's Service before speaks for its answer now. */
  const isSafe = ({ told, answeredSince = clock.now() }: ServiceSigns): boolean =>
    told === undefined ? !isKnown() : told === "nobody" && clock.now() - answeredSince >= confirmMs

  const notAnswered = (signs: ServiceSigns, probed: Probed): void => {
    delete signs.answeredSince
    if (probed === "refused") signs.told = "nobody"
  }

  return {
    judge: (signs, probed, listens) => {
      if (probed !== "answered") {
        notAnswered(signs, probed)
        return false
      }
      signs.answeredSince ??= clock.now()
      if (signs.readyAt !== undefined) return isSafe(signs) || clock.now() - signs.readyAt >= settledMs
      // a server that listens may be routed to a moment before its Pod is seen Ready here: that tells nothing
      if (listens) return false
      signs.told = "stranger"
      if (!isKnown()) onStranger()
      metAt = clock.now()
      return false
    },
  }
}
