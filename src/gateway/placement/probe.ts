import { get } from "node:http"
import { connect } from "node:net"

/** How long one probe may take, in milliseconds. */
export const probeTimeoutMs = 250

/**
 * Asks once whether a server answers at the address of `url`: by HTTP on `healthPath` (2xx or 3xx) if there is one,
 * else by a TCP connect. Never on the MCP path: a GET there could take the server's only stream. Resolves, never rejects.
 */
export type Probe = (url: URL, healthPath: string | undefined, signal: AbortSignal) => Promise<boolean>

const hostOf = (url: URL): string => url.hostname.replace(/^\[|\]$/g, "")
const portOf = (url: URL): number => Number(url.port === "" ? 80 : url.port)

const askHTTP = (url: URL, path: string, signal: AbortSignal): Promise<boolean> =>
  new Promise((resolve) => {
    // as a URL, because Node throws for a bare path with letters that must be encoded
    const request = get(new URL(`${url.origin}${path}`), { agent: false, signal }, (response) => {
      const status = response.statusCode ?? 0
      resolve(status >= 200 && status < 400)
      response.destroy()
    })
    request.on("error", () => resolve(false))
  })

const askTCP = (url: URL, signal: AbortSignal): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ host: hostOf(url), port: portOf(url), signal })
    const end = (open: boolean) => () => {
      resolve(open)
      socket.destroy()
    }
    socket.once("connect", end(true))
    socket.on("error", end(false))
    socket.once("close", end(false))
  })

/** The probe over the network. */
export const probe: Probe = async (url, healthPath, signal) => {
  if (signal.aborted) return false
  const limit = AbortSignal.any([signal, AbortSignal.timeout(probeTimeoutMs)])
  return healthPath === undefined ? await askTCP(url, limit) : await askHTTP(url, healthPath, limit)
}
