/** Opens connections to checked addresses only, for undici's pools, on Node and on Deno. */
import { isIP, type LookupFunction, type Socket } from "node:net"
import { buildConnector, errors } from "undici"
import { plainHost } from "./allowance.ts"
import { type OutgoingGuard, portOf } from "./guard.ts"

/** Options of {@link guardedConnector}. */
export type GuardedConnectorOptions = {
  /** Certificates (PEM) that are trusted instead of those of the system. */
  readonly ca?: string
  /** Longest time until a connection stands, DNS and TLS included, in milliseconds; default 5 s. */
  readonly connectMs?: number
}

const defaultConnectMs = 5_000

/** The runtime asks it for everything that it does not take for an address, and dials only what it gets. */
const guardedLookup =
  (guard: OutgoingGuard, port: number): LookupFunction =>
  (hostname, { all }, done) => {
    guard.lookup(hostname, port).then(
      (addresses) => {
        const [first] = addresses
        if (all === true || first === undefined) done(null, [...addresses])
        else done(null, first.address, first.family)
      },
      (error: NodeJS.ErrnoException) => done(error, []),
    )
  }

/** Starts to dial; the result is the socket as soon as there is one. */
type Dial = (callback: buildConnector.Callback) => Promise<Socket | undefined>

/** Dials with one limit for everything: undici's own begins when there is a socket. */
const dialInTime = (
  dial: Dial,
  { ms, place }: { readonly ms: number; readonly place: string },
  callback: buildConnector.Callback,
): void => {
  let socket: Socket | undefined
  let state: "open" | "settled" | "late" = "open"
  const settle: buildConnector.Callback = (...result) => {
    if (state !== "open") return
    state = "settled"
    clearTimeout(timer)
    callback(...result)
  }
  const timer = setTimeout(() => {
    settle(new errors.ConnectTimeoutError(`No connection to ${place} within ${ms} ms.`), null)
    state = "late"
    socket?.destroy()
  }, ms)
  dial(settle).then(
    (found) => {
      socket = found
      if (state === "late") socket?.destroy()
    },
    (error: Error) => settle(error, null),
  )
}

/**
 * Makes the connector of a pool: `new Pool(origin, { connect: guardedConnector(guard, {}) })`. TLS verifies the name of
 * the URL, whatever a Host header says. A refusal is the error of the request, as the guard threw it.
 */
export const guardedConnector = (
  guard: OutgoingGuard,
  { ca, connectMs = defaultConnectMs }: GuardedConnectorOptions,
): buildConnector.connector => {
  /** By port, as the lookup must know it: one in a pool. Kept, because a connector remembers TLS sessions. */
  const connectors = new Map<number, ReturnType<typeof buildConnector>>()
  const connectorAt = (port: number): buildConnector.connector => {
    const known = connectors.get(port)
    if (known !== undefined) return known
    const trust = ca === undefined ? {} : { ca }
    const connector = buildConnector({ ...trust, allowH2: false, timeout: 0, lookup: guardedLookup(guard, port) })
    connectors.set(port, connector)
    return connector
  }
  return (options, callback) => {
    const { hostname, protocol } = options
    const port = portOf({ port: options.port, protocol })
    const isAddress = isIP(hostname) !== 0
    const dial: Dial = async (settle) => {
      // no runtime looks up an address
      if (isAddress) await guard.lookup(hostname, port)
      const socket: unknown = connectorAt(port)(
        { ...options, servername: isAddress ? "" : plainHost(hostname) },
        settle,
      )
      return socket as Socket
    }
    dialInTime(dial, { ms: connectMs, place: `${hostname}:${port}` }, callback)
  }
}
