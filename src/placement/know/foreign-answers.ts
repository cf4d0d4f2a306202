/**
 * Decides whether the server itself answers at the address of its Service.
 *
 * A Service routes to a Ready Pod only. Before that, a node that knows the Service refuses connections. A node that
 * does not know the Service yet sends packets to its address by the default route. There a stranger (a transparent
 * proxy, a firewall) may accept the connection, and requests sent to it are lost. The same happens for a moment when a
 * node begins to route: kube-proxy removes the refusal before it adds the route, since it writes its tables filter and
 * nat one after the other (5 to 30 ms were measured).
 */
import type { ClockPort } from "../../ports/clock.ts"
import type { Probed } from "./probe.ts"

/** After a stranger has answered, the network is assumed to have strangers for this long. */
const rememberMs = 60 * 60_000
/** This long after the Pod became Ready, every node is assumed to know the Service. */
const settledMs = 15_000
/**
 * An answer after a refusal counts when a probe this much later is answered too: then the node has finished its change.
 */
const confirmMs = 250

/** What this replica has seen of one incarnation of a server. */
export type ServiceSigns = {
  /** When the Pod was first seen Ready, by this process's clock; undefined = it has not been. */
  readyAt?: number
  /** The last probe with proof: `nobody` = refused, `stranger` = answered before the server could be routed to. */
  proof?: "nobody" | "stranger"
  /** Since when every probe has been answered. */
  answeredSince?: number
}

/** Knowledge about strangers in this network. */
type Strangers = {
  /**
   * Takes the outcome of one probe of the Service; true if the answer is the server's. Probe again until it is true.
   * `listens`: the server takes connections at its Pod's own address; only used before the Pod is Ready.
   */
  judge(signs: ServiceSigns, probed: Probed, listens: boolean): boolean
}

/** Makes it without any known stranger. `onStranger` is called when a stranger answers and none has for an hour. */
export const createStrangers = (clock: ClockPort, onStranger: () => void): Strangers => {
  let metAt = Number.NEGATIVE_INFINITY
  const isKnown = (): boolean => clock.now() - metAt < rememberMs

  /** True if an answer of a Ready Pod's Service is the server's, by what earlier probes have proved. */
  const isSafe = ({ proof, answeredSince = clock.now() }: ServiceSigns): boolean =>
    proof === undefined ? !isKnown() : proof === "nobody" && clock.now() - answeredSince >= confirmMs

  const notAnswered = (signs: ServiceSigns, probed: Probed): void => {
    delete signs.answeredSince
    if (probed === "refused") signs.proof = "nobody"
  }

  return {
    judge: (signs, probed, listens) => {
      if (probed !== "answered") {
        notAnswered(signs, probed)
        return false
      }
      signs.answeredSince ??= clock.now()
      if (signs.readyAt !== undefined) return isSafe(signs) || clock.now() - signs.readyAt >= settledMs
      // this answer proves nothing: a node may route to a server that listens before its Pod is seen Ready here
      if (listens) return false
      signs.proof = "stranger"
      if (!isKnown()) onStranger()
      metAt = clock.now()
      return false
    },
  }
}
