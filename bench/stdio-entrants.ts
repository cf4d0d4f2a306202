/** What takes part in the comparison of bridges between streamable HTTP and stdio servers. */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { install } from "./peers/install.ts"
import { loggingSupergateway, mcpProxy, supergateway } from "./peers/npm-peers.ts"
import type { Peer } from "./peers/peer.ts"
import { freePort } from "./ports.ts"
import { startProcess } from "./process.ts"
import { type Processes, type Started, startBridge, startGateway } from "./stdio-gateway.ts"
import { type Usage, usageOf } from "./stdio-usage.ts"

/** The stdio server of all. */
const script = resolve(import.meta.dirname, "server.ts")

/** A program of the comparison. */
export type Entrant = {
  readonly name: string
  /** How many processes of the server it runs. */
  readonly servers: "one" | "one a session"
  /** True for other people's programs. */
  readonly isPeer: boolean
  /** False = measured for information only; else it must be cheaper than each peer that logs as it does. */
  readonly isJudged: boolean
  /** Whether it writes a log of calls; undefined if it cannot. */
  readonly log: "on" | "off" | undefined
  /** False if it differs from another entrant by its log alone, which holds no memory. */
  readonly holdsSessions: boolean
  start(signal: AbortSignal): Promise<Running>
}

/** A running program of the comparison. */
export type Running = Omit<Started, "process"> & { readonly usage: Usage }

const toRunning = ({ process: started, url, headers, stop }: Started): Running => ({
  url,
  headers,
  stop,
  usage: usageOf(started.pid, script),
})

const startPeer = async (peer: Peer, signal: AbortSignal): Promise<Running> => {
  await using stack = new AsyncDisposableStack()
  const installed = await install(peer.pin, signal)
  const scratch = await mkdtemp(join(tmpdir(), "reflow-bench-peer-"))
  stack.defer(() => rm(scratch, { recursive: true, force: true }))
  const port = await freePort()
  const { process: options, url } = await peer.launch({
    ...{ installed, scratch, port, server: script },
    // a bridge connects to no server, and needs no key
    ...{ upstream: "", secret: "" },
  })
  const started = await startProcess(options)
  stack.defer(() => started.stop())
  const kept = stack.move()
  return toRunning({ process: started, url, headers: {}, stop: () => kept.disposeAsync() })
}

const peerEntrant = (peer: Peer, servers: Entrant["servers"], log: Entrant["log"]): Entrant => ({
  name: `${peer.name} ${peer.pin.version}${log === "on" ? ", logging" : ""}`,
  servers,
  isPeer: true,
  isJudged: false,
  log,
  holdsSessions: log !== "on",
  start: (signal) => startPeer(peer, signal),
})

const gatewayEntrant = (processes: Processes, log: "on" | "off"): Entrant => ({
  name: `reflow gateway + bridge, ${processes}${log === "on" ? ", logging" : ""}`,
  servers: processes === "shared" ? "one" : "one a session",
  isPeer: false,
  // without the log for information: nobody installs it so
  isJudged: log === "on",
  log,
  holdsSessions: log !== "on",
  start: async () => toRunning(await startGateway(script, processes, log)),
})

const bridgeEntrant = (processes: Processes): Entrant => ({
  name: `reflow bridge alone, ${processes}`,
  servers: processes === "shared" ? "one" : "one a session",
  isPeer: false,
  isJudged: false,
  log: undefined,
  holdsSessions: true,
  start: async () => toRunning(await startBridge(script, processes)),
})

/**
 * All that take part. Each of our two modes has a peer that uses its server in the same way. Programs that can log calls
 * take part twice, since a log costs more than many other things: as they are installed, and without the log.
 */
export const entrants: readonly Entrant[] = [
  peerEntrant(mcpProxy, "one", undefined),
  gatewayEntrant("shared", "off"),
  gatewayEntrant("shared", "on"),
  bridgeEntrant("shared"),
  peerEntrant(supergateway, "one a session", "off"),
  peerEntrant(loggingSupergateway, "one a session", "on"),
  gatewayEntrant("per_session", "off"),
  gatewayEntrant("per_session", "on"),
  bridgeEntrant("per_session"),
]
