import { once } from "node:events"
import { createServer, type RequestListener, type Server, type ServerOptions, type ServerResponse } from "node:http"
import type { AddressInfo, Socket } from "node:net"
import type { Duplex } from "node:stream"
import { setImmediate as turn } from "node:timers/promises"
import { systemClock as clock } from "../../adapters/system/clock.ts"
import { httpServerOptions } from "../../door/front-door.ts"
import { unreadable, unreadableAnswer } from "../../door/guard.ts"
import { AppError } from "../../errors.ts"
import type { Unreadable } from "../../gateway/gateway.ts"
import { newRequestId } from "../../gateway/incoming.ts"

/** The connections of an HTTP server, and the answers that are not out on them. */
type Connections = {
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
const followConnections = (server: Server): Connections => {
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

/** A server that listens. */
export type HttpListener = {
  /** e.g. `http://127.0.0.1:8080`: where a client on this machine reaches it. */
  readonly url: string
  readonly port: number
  /** From now on connections end with the next answer: clients that keep them open come back, and to somebody else. */
  sendAway(): void
  /** No new connections; idle ones end. What runs goes on, and what still comes on its connections is answered. */
  stopAccepting(): Promise<void>
  /** After {@link stopAccepting}: resolves when every answer is out and nobody may send more, or when `signal` is aborted. */
  settle(signal: AbortSignal): Promise<void>
  /** Ends every connection that is left, and resolves when all are gone. */
  close(): Promise<void>
}

/** What this server needs besides {@link httpServerOptions}; Node's defaults check timeouts too rarely. */
const serverOptions: ServerOptions = {
  ...httpServerOptions,
  connectionsCheckingInterval: 5_000,
  /** TCP keep-alive finds clients that vanished while a stream is silent. */
  keepAlive: true,
  keepAliveInitialDelay: 30_000,
}

/** How long a connection may be idle that carried its answer as accepting stopped: time for one who calls at once again. */
const lingerMs = 1_000

/** `127.0.0.1:8080` or `[::1]:8080` in its parts; the configuration has checked it. */
export const parseListen = (listen: string): { readonly host: string; readonly port: number } => {
  const colon = listen.lastIndexOf(":")
  return { host: listen.slice(0, colon).replace(/^\[|\]$/g, ""), port: Number(listen.slice(colon + 1)) }
}

const codeOf = (error: unknown): string => (error instanceof Error && "code" in error ? String(error.code) : "")

const listenError = (listen: string, error: unknown): AppError => {
  const code = codeOf(error)
  if (code === "EADDRINUSE")
    return new AppError("PortInUse", { detail: `Another program listens at ${listen} already.`, cause: error })
  const reasons: Readonly<Record<string, string>> = {
    EACCES: "this user may not use that port",
    EADDRNOTAVAIL: "this machine has no such address",
    ENOTFOUND: "there is no such host",
  }
  return new AppError("ConfigInvalid", {
    detail: `Cannot listen at ${listen}: ${reasons[code] ?? code}.`,
    cause: error,
  })
}

const startListening = (server: Server, listen: string): Promise<AddressInfo> =>
  new Promise((resolve, reject) => {
    server.once("error", (error) => reject(listenError(listen, error)))
    server.listen(parseListen(listen), () => {
      const address = server.address()
      if (address !== null && typeof address === "object") resolve(address)
      else reject(listenError(listen, undefined))
    })
  })

/** True if only this machine can connect there. */
export const isLoopback = (listen: string): boolean =>
  /^(localhost|127(\.\d{1,3}){3}|::1)$/.test(parseListen(listen).host)

/** A host that a client can use: an address that means «all of mine» is reached as this machine's own. */
const reachableHost = (host: string): string => {
  if (host === "0.0.0.0" || host === "::") return "127.0.0.1"
  return host.includes(":") ? `[${host}]` : host
}

/** A server that does not listen yet. It bounds how long a request may take to arrive, never how long its answer takes. */
export const makeServer = (): Server => {
  const server = createServer(serverOptions)
  server.timeout = 0
  // who serves the request says what is wrong with what it expects
  server.on("checkExpectation", (request, response) => server.emit("request", request, response))
  return server
}

/** Answers what is no request, where its connection carries no other answer; ends the connection. */
const answerUnreadable = (server: Server, connections: Connections, tell: (unreadable: Unreadable) => void): void => {
  server.on("clientError", (fault, socket) => {
    const error = unreadable(fault)
    if (error === undefined || !socket.writable || !connections.isSilent(socket)) return void socket.destroy()
    const told = { error, requestId: newRequestId() }
    tell(told)
    // what is left of the request is not read: after the answer the client may only end
    socket.end(unreadableAnswer(told), () => socket.destroy())
  })
}

/** How a server that listens ends. */
const endingOf = (server: Server, connections: Connections): Omit<HttpListener, "url" | "port"> => {
  let closed: Promise<void> | undefined
  const stop = (): Promise<void> => {
    connections.endWithAnswers()
    server.keepAliveTimeout = lingerMs
    server.keepAliveTimeoutBuffer = 0
    closed ??= new Promise((resolve) => server.close(() => resolve()))
    return closed
  }
  /** For as long as a connection may still be used; one that never was is nobody's to wait for. */
  const linger = (): Promise<void> =>
    new Promise((resolve) => {
      const cancel = clock.timer(lingerMs, resolve)
      void stop().then(() => {
        cancel()
        resolve()
      })
    })
  return {
    sendAway: connections.endWithAnswers,
    stopAccepting: async () => {
      // a connection with an unread request looks idle: what is here now has been read when the loop has turned once
      await turn()
      await turn()
      void stop()
    },
    settle: async (signal) => {
      await connections.quiet(signal)
      while (!signal.aborted) {
        await linger()
        if (connections.areQuiet()) return
        await connections.quiet(signal)
      }
    },
    close: async () => {
      const over = stop()
      server.closeAllConnections()
      await over
    },
  }
}

/**
 * Serves `handler` at `listen` (HOST:PORT); `tell` hears of what could not be read and was refused. Throws `PortInUse` or
 * `ConfigInvalid`, with the address.
 */
export const startHttpListener = async (
  listen: string,
  handler: RequestListener,
  tell: (unreadable: Unreadable) => void = () => {},
): Promise<HttpListener> => {
  const server = makeServer()
  // follows each request before its handler gets it
  const connections = followConnections(server)
  server.on("request", handler)
  answerUnreadable(server, connections, tell)
  const { port } = await startListening(server, listen)
  return { url: `http://${reachableHost(parseListen(listen).host)}:${port}`, port, ...endingOf(server, connections) }
}
