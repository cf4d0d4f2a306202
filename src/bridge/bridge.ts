import { readFileSync, statSync } from "node:fs"
import { createServer, type Server } from "node:http"
import type { AddressInfo, Socket } from "node:net"
import { constants } from "node:os"
import { readable } from "../api/foreign-text.ts"
import { AppError, systemCode } from "../errors.ts"
import { createMask, diedError } from "./explain.ts"
import { createDoor } from "./http/door.ts"
import { createBridgeLog } from "./log.ts"
import type { Death } from "./process/child.ts"
import { Processes } from "./processes.ts"
import { Sessions } from "./sessions.ts"
import { Unsent } from "./unsent.ts"

/** What a bridge runs and how. */
export type BridgeOptions = {
  /** The server's program and its arguments. */
  readonly command: readonly string[]
  /** The server's environment; PORT and REFLOW_* are left out of it. */
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Address to listen on; undefined = all of IPv4 and IPv6. */
  readonly host: string | undefined
  /** 0 = one that is free. */
  readonly port: number
  /** Path of the MCP endpoint. */
  readonly path: string
  readonly processes: "per_session" | "shared"
  /** Most processes of the server at once. */
  readonly maxProcesses: number
  /** How long a session may be idle before its process ends, milliseconds. */
  readonly idleMs: number
  /** How long the server may take to answer `initialize`, milliseconds. */
  readonly startMs: number
  /** True if all clients are one user, who may see the last lines of a server that died. */
  readonly singleUser: boolean
  /** True: a shell ends the server when the bridge is killed, where no container does that. */
  readonly guarded: boolean
  /** A file with a sentence for errors about a server that failed; it need not exist. */
  readonly hintFile?: string | undefined
  /** How long each step of a server's ending may take, milliseconds. Default 5 s. */
  readonly graceMs?: number
  /** See {@link SessionLimits.silenceMs}. Default 1 s. */
  readonly silenceMs?: number
  /** How long a server may be silent to `server/discover`, milliseconds. Default 5 s. */
  readonly discoverMs?: number
  /** How long a session must be idle before another one may take its place, milliseconds. Default 60 s. */
  readonly evictMs?: number
  /** See {@link SessionLimits.goneMs}. Default 60 s. */
  readonly goneMs?: number
  /** Gets the lines of the log. */
  readonly write: (text: string) => void
  /** Its abort ends the processes, also those of a bridge that has not started yet. */
  readonly signal?: AbortSignal
}

/** A running bridge. */
export type Bridge = {
  readonly port: number
  /** Resolves with the exit code when the server cannot run: it ended before anybody used it, or it is shared. */
  readonly failed: Promise<number>
  /** How many processes run, and how many sessions are open. */
  readonly count: () => { readonly processes: number; readonly sessions: number; readonly junk: number }
  /** Ends the server's processes and closes the port. */
  close(): Promise<void>
}

/**
 * How long requests are still answered after the first process ended before its use, milliseconds. The port was open
 * already, so that a client may have connected: it hears why the server ended, instead of a connection that breaks.
 */
const farewellMs = 250

/** Exit code of a program that cannot be started, as in shells. */
export const notFound = 127

/** The exit code by which a container tells how its server ended. */
export const exitCodeOf = ({ code, signal }: Death): number =>
  code ?? (signal === null ? notFound : 128 + constants.signals[signal])

/** The variables that a server gets. With PORT many servers would speak HTTP instead. */
const environmentOf = (environment: BridgeOptions["environment"]): BridgeOptions["environment"] =>
  Object.fromEntries(Object.entries(environment).filter(([name]) => name !== "PORT" && !name.startsWith("REFLOW_")))

const listen = (server: Server, { host, port }: BridgeOptions): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once("error", (error) =>
      reject(
        new AppError(systemCode(error) === "EADDRINUSE" ? "PortInUse" : "Internal", {
          detail: `${host ?? "*"}:${port} cannot be listened on (${systemCode(error)}).`,
          cause: error,
        }),
      ),
    )
    server.listen({ port, host }, resolve)
  })

/**
 * The server of the port. The gateway closes idle connections; the bridge only those that it forgot, and those whose
 * peer has vanished: an event stream would never notice.
 */
const createPort = (door: ReturnType<typeof createDoor>): Server =>
  createServer(
    {
      ...{ keepAliveTimeout: 600_000, headersTimeout: 30_000, requestTimeout: 120_000, maxHeaderSize: 65_536 },
      ...{ keepAlive: true, keepAliveInitialDelay: 30_000 },
    },
    door,
  )

const closePort = async (server: Server, sockets: ReadonlySet<Socket>): Promise<void> => {
  const closed = new Promise((resolve) => server.close(resolve))
  for (const socket of sockets) socket.destroy()
  await closed
}

/** Most characters of a hint. */
const longestHint = 1_000

/** The sentence in a file, which is small: whoever starts the bridge has written it. Empty if there is none. */
const readHint = (file: string | undefined): string => {
  if (file === undefined) return ""
  try {
    return statSync(file).size > 4 * longestHint ? "" : readable(readFileSync(file, "utf8").trim(), longestHint)
  } catch {
    return ""
  }
}

/** How often idle sessions are looked for, milliseconds. */
const sweepMs = (idleMs: number): number => Math.min(Math.max(idleMs / 4, 100), 15_000)

/**
 * Starts a bridge: Streamable HTTP on a port, a command that speaks MCP over stdin and stdout behind it. The first
 * process is started before the port opens. Rejects with PortInUse, and with ServerProcessEnded if the processes are
 * shared and the server does not start.
 */
export const startBridge = async (options: BridgeOptions): Promise<Bridge> => {
  const environment = environmentOf(options.environment)
  const log = createBridgeLog(options.write)
  const { command, guarded, maxProcesses, startMs, singleUser, idleMs } = options
  const { graceMs = 5_000, silenceMs = 1_000, discoverMs = 5_000, evictMs = 60_000, goneMs = 60_000 } = options
  const mask = singleUser ? createMask(environment) : undefined
  const processes = new Processes({
    ...{ command, environment, guarded, graceMs, log, hint: readHint(options.hintFile) },
    most: maxProcesses,
    idleMs: evictMs,
  })
  const sessions = new Sessions({
    ...{ processes, startMs, discoverMs, mask, singleUser, idleMs, evictMs },
    limits: { startMs, silenceMs, goneMs, mask, unsent: new Unsent() },
  })
  const failed = Promise.withResolvers<number>()
  const first = processes.prepare()
  void first.ended.then((death) => {
    const isUnused = processes.isSpare(first)
    if (isUnused) processes.refuse(diedError(first, death, mask))
    if (isUnused || options.processes === "shared")
      setTimeout(() => failed.resolve(exitCodeOf(death)), isUnused ? farewellMs : 0)
  })
  options.signal?.addEventListener("abort", () => void processes.close())
  const closed = async (error: unknown): Promise<never> => {
    await processes.close()
    throw error
  }
  if (options.processes === "shared") await sessions.share().catch(closed)
  // as clients send it: normal, and in ASCII
  const path = new URL(`http://x${options.path}`).pathname
  const server = createPort(
    createDoor({ sessions, path, report: (error) => log.note(`fault: ${String(error.cause)}`) }),
  )
  const sockets = new Set<Socket>()
  server.on("connection", (socket) => {
    sockets.add(socket)
    socket.once("close", () => sockets.delete(socket))
  })
  await listen(server, options).catch(closed)
  const sweep = setInterval(() => sessions.sweep(), sweepMs(idleMs))
  // the address of a TCP server that listens is an object
  const { port } = server.address() as AddressInfo
  log.note(`listening on ${options.host ?? "*"}:${port}`)
  return {
    port,
    failed: failed.promise,
    count: () => ({ processes: processes.alive, sessions: sessions.size, junk: processes.junk }),
    close: async () => {
      clearInterval(sweep)
      await processes.close()
      await closePort(server, sockets)
    },
  }
}
