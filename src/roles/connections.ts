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
  /** How many of them each connection has: whoever sends garbage must not have us look through all. */
  const answering = new Map<Duplex, number>()
  let areEnding = false
  server.on("connection", (socket) => {
    sockets.add(socket)
    socket.once("close", () => sockets.delete(socket))
  })
  const count = (socket: Duplex, change: 1 | -1): void => {
    const answers = (answering.get(socket) ?? 0) + change
    if (answers > 0) answering.set(socket, answers)
    else answering.delete(socket)
  }
  server.on("request", ({ socket }, response) => {
    if (areEnding) response.shouldKeepAlive = false
    open.add(response)
    count(socket, 1)
    response.once("close", () => {
      open.delete(response)
      count(socket, -1)
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
    isAnswering: (socket) => answering.has(socket),
    areQuiet: () => open.size === 0,
    quiet: async (signal) => {
      while (open.size > 0 && !signal.aborted)
        await Promise.all([...open].map((response) => once(response, "close", { signal }).catch(() => {})))
    },
  }
}
