import { once } from "node:events"
import type { Server, ServerResponse } from "node:http"
import type { Socket } from "node:net"
import type { Duplex } from "node:stream"

/** The connections of an HTTP server, and the answers that are not out on them. */
export type Connections = {
  /** From now on a connection ends with the next answer whose head goes out; those that are on their way count. */
  endWithAnswers(): void
  /** True if an answer is on its way on this connection. */
  isAnswering(socket: Duplex): boolean
  /** True if no answer is on its way. */
  areQuiet(): boolean
  /** Resolves when no answer is on its way, or when `signal` is aborted. */
  quiet(signal: AbortSignal): Promise<void>
}

/**
 * Follows the connections of a server; call it before the server gets its handler. From then on what the server closes as
 * idle are connections that have carried an answer and carry none now: Node's own choice has also those whose answer was
 * given to it and is not out yet, which cuts it.
 */
export const followConnections = (server: Server): Connections => {
  const sockets = new Set<Socket>()
  const open = new Set<ServerResponse>()
  let areEnding = false
  server.on("connection", (socket) => {
    sockets.add(socket)
    socket.once("close", () => sockets.delete(socket))
  })
  server.on("request", (_request, response) => {
    if (areEnding) response.shouldKeepAlive = false
    open.add(response)
    response.once("close", () => open.delete(response))
  })
  server.closeIdleConnections = () => {
    const busy = new Set([...open].map(({ req }) => req.socket))
    for (const socket of sockets) if (socket.bytesRead > 0 && !busy.has(socket)) socket.destroy()
  }
  return {
    endWithAnswers: () => {
      areEnding = true
      for (const response of open) response.shouldKeepAlive = false
    },
    isAnswering: (socket) => [...open].some(({ req }) => req.socket === socket),
    areQuiet: () => open.size === 0,
    quiet: async (signal) => {
      while (open.size > 0 && !signal.aborted)
        await Promise.all([...open].map((response) => once(response, "close", { signal }).catch(() => {})))
    },
  }
}
