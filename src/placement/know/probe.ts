import { get } from "node:http"
import { connect } from "node:net"
import type { ClockPort } from "../../ports/clock.ts"
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

/** What {@link livesOn} asks. */
type LivesOnDeps = Pick<PlacementPort, "currentIncarnation"> & {
  readonly probe: Probe
  readonly clock: ClockPort
}

/** Whether the server of a broken connection lives on; see the port. */
export const livesOn = async (deps: LivesOnDeps, placement: Placement, signal: AbortSignal): Promise<boolean> => {
  const { clock } = deps
  for (const until = clock.now() + noticeMs; clock.now() < until; await clock.sleep(lookMs, signal)) {
    if ((await deps.probe(placement.url, undefined, signal)) === "refused") return false
    if ((await deps.currentIncarnation(placement, signal)) !== placement.incarnation) return false
  }
  return true
}
