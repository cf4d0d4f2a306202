import { get } from "node:http"
import { connect } from "node:net"
import type { ClockPort } from "../../ports/clock.ts"
import { createSingleFlight } from "../../waiting/single-flight.ts"
import { unlessAborted } from "../../waiting/until-aborted.ts"
import type { Placement, PlacementPort } from "../port.ts"

/** How long one probe may take, in milliseconds; also the longest useful limit for its connection. */
export const probeTimeoutMs = 250

/** Result of one probe: the server answered, the connection was refused, or anything else (timeout, wrong status). */
export type Probed = "answered" | "refused" | "failed"

/** An HTTP health check: its path, and the Host header if the server wants a certain one. */
type Health = { readonly path: string; readonly hostHeader: string | undefined }

/**
 * Checks once whether a server answers at the host and port of `url`: with `health` by an HTTP GET (2xx or 3xx), else
 * by a TCP connect. Never on the MCP path, since a GET there could take the server's only stream. Takes at most 250 ms;
 * never rejects.
 *
 * `connectMs` limits the connection alone (whole milliseconds; default: as long as the probe). A network that does not
 * know a new Pod yet may drop the first packet. The kernel repeats it after a second; the next probe is there sooner.
 */
export type Probe = (url: URL, health: Health | undefined, signal: AbortSignal, connectMs?: number) => Promise<Probed>

const hostOf = (url: URL): string => url.hostname.replace(/^\[|\]$/g, "")
const portOf = (url: URL): number => Number(url.port === "" ? 80 : url.port)

/** The node or the host refuses a connection at once; after a timeout it is unknown whether a server is there. */
const outcomeOf = (error: NodeJS.ErrnoException): Probed => (error.code === "ECONNREFUSED" ? "refused" : "failed")

type Limits = { readonly signal: AbortSignal; readonly connectMs: number }

const askHTTP = (url: URL, { path, hostHeader: host }: Health, { signal, connectMs }: Limits): Promise<Probed> =>
  new Promise((resolve) => {
    // as a URL, because Node throws for a bare path with letters that must be encoded
    const headers = host === undefined ? {} : { host }
    const request = get(new URL(`${url.origin}${path}`), { agent: false, signal, headers }, (response) => {
      const status = response.statusCode ?? 0
      resolve(status >= 200 && status < 400 ? "answered" : "failed")
      response.destroy()
    })
    const limit = setTimeout(() => request.destroy(), connectMs)
    request.on("socket", (socket) => socket.once("connect", () => clearTimeout(limit)))
    request.on("error", (error) => resolve(outcomeOf(error)))
    request.on("close", () => clearTimeout(limit))
  })

const askTCP = (url: URL, { signal, connectMs }: Limits): Promise<Probed> =>
  new Promise((resolve) => {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(connectMs)])
    const socket = connect({ host: hostOf(url), port: portOf(url), signal: limit })
    const end = (probed: Probed): void => {
      resolve(probed)
      socket.destroy()
    }
    socket.once("connect", () => end("answered"))
    socket.on("error", (error) => end(outcomeOf(error)))
    socket.once("close", () => end("failed"))
  })

/** The probe over the network. */
export const probe: Probe = async (url, health, signal, connectMs = probeTimeoutMs) => {
  if (signal.aborted) return "failed"
  const limits = { signal: AbortSignal.any([signal, AbortSignal.timeout(probeTimeoutMs)]), connectMs }
  return health === undefined ? await askTCP(url, limits) : await askHTTP(url, health, limits)
}

/** How long the API server may not know that a server has ended: its node checks once a second. */
const noticeMs = 5_000
/** Pause between two checks. */
const checkMs = 1_000

/** Dependencies of {@link createStillRuns}. */
type StillRunsDeps = Pick<PlacementPort, "currentIncarnation"> & {
  readonly probe: Probe
  readonly clock: ClockPort
}

/**
 * Makes {@link PlacementPort.stillRuns}. Connections to one incarnation that break at the same time share one check: a
 * server that breaks a thousand streams must not cause a thousand reads of the API server.
 */
export const createStillRuns = ({
  currentIncarnation,
  probe: ask,
  clock,
}: StillRunsDeps): PlacementPort["stillRuns"] => {
  const once = createSingleFlight<boolean>()
  const check = async (at: Placement): Promise<boolean> => {
    // a caller that aborts must not end the check for the others
    const { signal } = new AbortController()
    for (const until = clock.now() + noticeMs; clock.now() < until; await clock.sleep(checkMs, signal)) {
      if ((await ask(at.url, undefined, signal)) === "refused") return false
      if ((await currentIncarnation(at, signal)) !== at.incarnation) return false
    }
    return true
  }
  return (at, signal) =>
    unlessAborted(
      once(`${at.instanceUID} ${at.incarnation}`, () => check(at)),
      signal,
    )
}
