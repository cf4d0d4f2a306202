import { once } from "node:events"
import { createServer, type RequestListener, type Server, type ServerOptions, type ServerResponse } from "node:http"
import type { AddressInfo, Socket } from "node:net"
import type { Duplex } from "node:stream"
import { setImmediate as turn } from "node:timers/promises"
import { systemClock as clock } from "../../adapters/system/clock.ts"
import { httpServerOptions } from "../../door/front-door.ts"
import { unreadable, unreadableAnswer } from "../../door/guard.ts"
import { AppError, systemCode } from "../../errors.ts"
import type { Unreadable } from "../../gateway/gateway.ts"
import { newRequestId } from "../../gateway/incoming.ts"
import { createRoster, type Member, type Roster } from "../../waiting/in-progress.ts"

/** The connections of an HTTP server, and the responses on them that are not completely sent. */
type Connections = {
  /** From now on, every response whose head is not sent yet closes its connection (`Connection: close`). */
  endWithAnswers(): void
  /** True if no response is being sent on this connection, and none is due except to an incomplete request. */
  isSilent(socket: Duplex): boolean
  /** True if no response is open. */
  areQuiet(): boolean
  /** Resolves when no response is open, or when `signal` is aborted. */
  quiet(signal: AbortSignal): Promise<void>
}

/** A response that is not completely sent. */
type Open = Member & { readonly response: ServerResponse }
/** A connection, and the open responses on it: many, if a client sends requests without waiting for answers. */
type Connection = Member & { readonly socket: Socket; readonly open: Roster<Open> }

/**
 * Tracks the connections of a server; call it before the server gets its handler. It also replaces the server's
 * closeIdleConnections: only connections with received bytes and no open response are closed. Node's own method also
 * closes connections whose response has ended but is not flushed yet, which truncates the response.
 */
const followConnections = (server: Server): Connections => {
  const connections = createRoster<Connection>()
  /** So that a malformed request costs no search through all connections. */
  const bySocket = new WeakMap<Duplex, Connection>()
  let areEnding = false
  const responsesOf = ({ open }: Connection): readonly ServerResponse[] => open.all().map(({ response }) => response)
  const allOpen = (): readonly ServerResponse[] => connections.all().flatMap(responsesOf)
  server.on("connection", (socket) => {
    const connection: Connection = { place: -1, socket, open: createRoster() }
    connections.add(connection)
    bySocket.set(socket, connection)
    socket.once("close", () => connections.remove(connection))
  })
  server.on("request", ({ socket }, response) => {
    if (areEnding) response.shouldKeepAlive = false
    const open = bySocket.get(socket)?.open
    const member = { place: -1, response }
    open?.add(member)
    response.once("close", () => open?.remove(member))
  })
  server.closeIdleConnections = () => {
    for (const { socket, open } of connections.all())
      if (socket.bytesRead > 0 && open.all().length === 0) socket.destroy()
  }
  return {
    endWithAnswers: () => {
      areEnding = true
      for (const response of allOpen()) response.shouldKeepAlive = false
    },
    isSilent: (socket) => {
      const connection = bySocket.get(socket)
      const open = connection === undefined ? [] : responsesOf(connection)
      const [only] = open
      return only === undefined || (open.length === 1 && !only.headersSent && !only.req.complete)
    },
    areQuiet: () => allOpen().length === 0,
    quiet: async (signal) => {
      for (let open = allOpen(); open.length > 0 && !signal.aborted; open = allOpen())
        await Promise.all(open.map((response) => once(response, "close", { signal }).catch(() => {})))
    },
  }
}

/** A listening HTTP server. */
export type HttpListener = {
  /** URL for a client on this machine, e.g. `http://127.0.0.1:8080`. */
  readonly url: string
  readonly port: number
  /** From now on connections close with the next response, so that clients reconnect, possibly to another replica. */
  sendAway(): void
  /**
   * Refuses new connections and closes idle ones. Open requests go on; more requests on their connections are served.
   */
  stopAccepting(): Promise<void>
  /**
   * Call it after {@link stopAccepting}. Resolves when every response is sent and no connection can bring another
   * request, or when `signal` is aborted.
   */
  settle(signal: AbortSignal): Promise<void>
  /** Destroys all remaining connections; resolves when all are closed. */
  close(): Promise<void>
}

/** {@link httpServerOptions}, plus a check of timeouts every 5 s (Node's default is 30 s). */
const serverOptions: ServerOptions = {
  ...httpServerOptions,
  connectionsCheckingInterval: 5_000,
  /** TCP keep-alive detects clients that disappeared while a stream is silent. */
  keepAlive: true,
  keepAliveInitialDelay: 30_000,
}

/**
 * How long a connection may stay idle after its response, once accepting has stopped, in milliseconds: a client may
 * have sent the next request already.
 */
const lingerMs = 1_000

/** Splits `127.0.0.1:8080` or `[::1]:8080` into host and port. The configuration has validated the text. */
export const parseListen = (listen: string): { readonly host: string; readonly port: number } => {
  const colon = listen.lastIndexOf(":")
  return { host: listen.slice(0, colon).replace(/^\[|\]$/g, ""), port: Number(listen.slice(colon + 1)) }
}

const listenError = (listen: string, error: unknown): AppError => {
  const code = systemCode(error)
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

/** True if the address (HOST:PORT) is a loopback address, which only this machine can connect to. */
export const isLoopback = (listen: string): boolean =>
  /^(localhost|127(\.\d{1,3}){3}|::1)$/.test(parseListen(listen).host)

/** The host for a URL: 127.0.0.1 for the unspecified addresses 0.0.0.0 and ::, brackets around IPv6. */
const reachableHost = (host: string): string => {
  if (host === "0.0.0.0" || host === "::") return "127.0.0.1"
  return host.includes(":") ? `[${host}]` : host
}

/** Creates a server that does not listen yet. It limits the time to receive a request, not the time of the response. */
export const makeServer = (): Server => {
  const server = createServer(serverOptions)
  server.timeout = 0
  // the handler answers a request with an unknown Expect header, too
  server.on("checkExpectation", (request, response) => server.emit("request", request, response))
  return server
}

/**
 * Answers bytes that are not a valid HTTP request and closes their connection. If another response is open on the
 * connection, it is closed without an answer.
 */
const answerUnreadable = (server: Server, connections: Connections, report: (unreadable: Unreadable) => void): void => {
  server.on("clientError", (fault, socket) => {
    const error = unreadable(fault)
    if (error === undefined || !socket.writable || !connections.isSilent(socket)) return void socket.destroy()
    const refused = { error, requestId: newRequestId() }
    report(refused)
    // the rest of the request is not read: the connection is destroyed once the answer is flushed
    socket.end(unreadableAnswer(refused), () => socket.destroy())
  })
}

/** The functions of {@link HttpListener} that end a server. */
const endingOf = (server: Server, connections: Connections): Omit<HttpListener, "url" | "port"> => {
  let closed: Promise<void> | undefined
  const stop = (): Promise<void> => {
    connections.endWithAnswers()
    server.keepAliveTimeout = lingerMs
    server.keepAliveTimeoutBuffer = 0
    closed ??= new Promise((resolve) => server.close(() => resolve()))
    return closed
  }
  /** Resolves when all connections are closed, at the latest after {@link lingerMs}: then idle ones have timed out. */
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
      // a connection with an unread request looks idle: let the event loop turn, so that received bytes are read first
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
 * Serves `handler` at `listen` (HOST:PORT). `report` gets each refused request that could not be parsed. Throws
 * `PortInUse` or `ConfigInvalid`, with the address.
 */
export const startHttpListener = async (
  listen: string,
  handler: RequestListener,
  report: (unreadable: Unreadable) => void = () => {},
): Promise<HttpListener> => {
  const server = makeServer()
  // before `handler` is registered, so that each request is tracked before `handler` gets it
  const connections = followConnections(server)
  server.on("request", handler)
  answerUnreadable(server, connections, report)
  const { port } = await startListening(server, listen)
  return { url: `http://${reachableHost(parseListen(listen).host)}:${port}`, port, ...endingOf(server, connections) }
}
