import { request } from "node:http"
import { connect } from "node:net"
import type { Probe } from "../../api/pod.ts"
import type { ClockPort } from "../../ports/clock.ts"

/** What one look at a server found. */
export type Finding = { readonly ok: true } | { readonly ok: false; readonly message: string }

/** Where and how to look. */
export type ProbeInput = {
  readonly probe: Probe
  /** Port that the node gave; it stands for whichever port the probe names, since a Pod of ours has only one. */
  readonly port: number
  readonly clock: ClockPort
  /** Ends the look early. */
  readonly signal: AbortSignal
}

const host = "127.0.0.1"

const messageOf = (error: unknown, port: number): string => {
  const code = error instanceof Error && "code" in error ? error.code : undefined
  if (code === "ECONNREFUSED") return `dial tcp ${host}:${port}: connect: connection refused`
  if (code === "ECONNRESET") return `read tcp ${host}:${port}: connection reset by peer`
  return `dial tcp ${host}:${port}: ${typeof code === "string" ? code : "the answer could not be read"}`
}

const late = (port: number): string => `dial tcp ${host}:${port}: i/o timeout`

/** Connects and hangs up. */
const tcp = (port: number, signal: AbortSignal): Promise<Finding> =>
  new Promise((resolve) => {
    const socket = connect({ host, port, signal })
    socket.once("connect", () => {
      socket.destroy()
      resolve({ ok: true })
    })
    socket.once("error", (error) =>
      resolve({ ok: false, message: signal.aborted ? late(port) : messageOf(error, port) }),
    )
  })

/** One GET as the kubelet sends it; 2xx and 3xx are good, redirects are not followed. */
const http = (
  { path, httpHeaders = [] }: NonNullable<Probe["httpGet"]>,
  port: number,
  signal: AbortSignal,
): Promise<Finding> =>
  new Promise((resolve) => {
    const url = `http://${host}:${port}${path.startsWith("/") ? path : `/${path}`}`
    const own = Object.fromEntries(httpHeaders.map(({ name, value }) => [name.toLowerCase(), value]))
    const headers = { "user-agent": "kube-probe/reflow", accept: "*/*", ...own }
    const call = request(url, { agent: false, signal, headers })
    call.once("response", (response) => {
      const status = response.statusCode ?? 0
      response.destroy()
      const message = `HTTP probe failed with statuscode: ${status}`
      resolve(status >= 200 && status < 400 ? { ok: true } : { ok: false, message })
    })
    call.on("error", (error) => {
      const words = signal.aborted ? "context deadline exceeded" : messageOf(error, port)
      resolve({ ok: false, message: `Get "${url}": ${words}` })
    })
    call.end()
  })

/** Looks once at a server, at most `timeoutSeconds` (default 1) long. A probe of neither kind is always good. */
export const look = async ({ probe, port, clock, signal }: ProbeInput): Promise<Finding> => {
  const deadline = new AbortController()
  const cancel = clock.timer((probe.timeoutSeconds ?? 1) * 1000, () => deadline.abort())
  const either = AbortSignal.any([deadline.signal, signal])
  try {
    if (probe.httpGet !== undefined) return await http(probe.httpGet, port, either)
    if (probe.tcpSocket !== undefined) return await tcp(port, either)
    return { ok: true }
  } finally {
    cancel()
  }
}
