import { get } from "node:http"
import { connect } from "node:net"
import type { ClockPort } from "../../ports/clock.ts"
import { createSingleFlight } from "../../waiting/single-flight.ts"
import { unlessAborted } from "../../waiting/until-aborted.ts"
import type { Placement, PlacementPort } from "../port.ts"

/** How long one probe may take, in milliseconds. */
const probeTimeoutMs = 250

/** What one probe found: a server that answers, a connection that was refused, or anything else (silence, a wrong status). */
export type Probed = "answered" | "refused" | "failed"

/** How to ask by HTTP. */
type Health = { readonly path: string; readonly hostHeader: string | undefined }

/**
 * Asks once whether a server answers at the address of `url`: by HTTP (2xx or 3xx) if it has a `health` to ask for,
 * else by a TCP connect. Never on the MCP path: a GET there could take the server's only stream. Resolves, never rejects.
 */
export type Probe = (url: URL, health: Health | undefined, signal: AbortSignal) => Promise<Probed>

const hostOf = (url: URL): string => url.hostname.replace(/^\[|\]$/g, "")
const portOf = (url: URL): number => Number(url.port === "" ? 80 : url.port)

/** Said by the node or the host itself, at once; a limit that passed says nothing about who is there. */
const outcomeOf = (error: NodeJS.ErrnoException): Probed => (error.code === "ECONNREFUSED" ? "refused" : "failed")

const askHTTP = (url: URL, { path, hostHeader: host }: Health, signal: AbortSignal): Promise<Probed> =>
  new Promise((resolve) => {
    // as a URL, because Node throws for a bare path with letters that must be encoded
    const headers = host === undefined ? {} : { host }
    const request = get(new URL(`${url.origin}${path}`), { agent: false, signal, headers }, (response) => {
      const status = response.statusCode ?? 0
      resolve(status >= 200 && status < 400 ? "answered" : "failed")
      response.destroy()
    })
    request.on("error", (error) => resolve(outcomeOf(error)))
  })

const askTCP = (url: URL, signal: AbortSignal): Promise<Probed> =>
  new Promise((resolve) => {
    const socket = connect({ host: hostOf(url), port: portOf(url), signal })
    const end = (probed: Probed): void => {
      resolve(probed)
      socket.destroy()
    }
    socket.once("connect", () => end("answered"))
    socket.on("error", (error) => end(outcomeOf(error)))
    socket.once("close", () => end("failed"))
  })

/** The probe over the network. */
export const probe: Probe = async (url, health, signal) => {
  if (signal.aborted) return "failed"
  const limit = AbortSignal.any([signal, AbortSignal.timeout(probeTimeoutMs)])
  return health === undefined ? await askTCP(url, limit) : await askHTTP(url, health, limit)
}

/** How long the end of a server may be unknown to the API server: its node looks once a second. */
const noticeMs = 5_000
const lookMs = 1_000

/** What finding out whether a server lives on needs. */
type LivesOnDeps = Pick<PlacementPort, "currentIncarnation"> & {
  readonly probe: Probe
  readonly clock: ClockPort
}

/**
 * Makes what tells whether the server of a broken connection lives on (see the port), once for all that broke at the same time:
 * a server that breaks off a thousand streams must not have the API server asked for each.
 */
export const createLivesOn = ({ currentIncarnation, probe: ask, clock }: LivesOnDeps): PlacementPort["livesOn"] => {
  const once = createSingleFlight<boolean>()
  const look = async (at: Placement): Promise<boolean> => {
    // whoever leaves must not end it for the others
    const { signal } = new AbortController()
    for (const until = clock.now() + noticeMs; clock.now() < until; await clock.sleep(lookMs, signal)) {
      if ((await ask(at.url, undefined, signal)) === "refused") return false
      if ((await currentIncarnation(at, signal)) !== at.incarnation) return false
    }
    return true
  }
  return (at, signal) =>
    unlessAborted(
      once(`${at.instanceUID} ${at.incarnation}`, () => look(at)),
      signal,
    )
}
