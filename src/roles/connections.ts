import { once } from "node:events"
import type { Server, ServerResponse } from "node:http"
import type { Socket } from "node:net"
import type { Duplex } from "node:stream"

/** The connections of an HTTP server, and the answers that are not out on them. */
export type Connections = {
  /** From now on a connection ends with the next answer whose head goes out; those that are on their way count. */
  endWithAnswers(): void
  /** True if this connection carries no answer, and none is due but that to a request which has not come whole. */
  isSilent(socket: Duplex): boolean
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
  /** Those of each connection: whoever sends garbage must not have us look through all. */
  const answering = new Map<Duplex, Set<ServerResponse>>()
  let areEnding = false
  server.on("connection", (socket) => {
    sockets.add(socket)
    socket.once("close", () => sockets.delete(socket))
  })
  server.on("request", ({ socket }, response) => {
    if (areEnding) response.shouldKeepAlive = false
    const own = answering.get(socket) ?? new Set()
    answering.set(socket, own.add(response))
    open.add(response)
    response.once("close", () => {
      open.delete(response)
      own.delete(response)
      if (own.size === 0) answering.delete(socket)
    })
  })
  server.closeIdleConnections = () => {
    for (const socket of sockets) if (socket.bytesRead > 0 && !answering.has(socket)) socket.destroy()
  }
  return {
    endWithAnswers: () => {
      areEnding = true
      for (const response of open) response.shouldKeepAlive = false
    },
    isSilent: (socket) => {
      const own = answering.get(socket)
      const [only] = own ?? []
      return only === undefined || (own?.size === 1 && !only.headersSent && !only.req.complete)
    },
    areQuiet: () => open.size === 0,
    quiet: async (signal) => {
      while (open.size > 0 && !signal.aborted)
        await Promise.all([...open].map((response) => once(response, "close", { signal }).catch(() => {})))
    },
  }
}
