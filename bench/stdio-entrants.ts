/** What takes part in the comparison of bridges between streamable HTTP and stdio servers. */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { install } from "./peers/install.ts"
import { mcpProxy, supergateway } from "./peers/npm-peers.ts"
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
  /** Undefined = measured for information only; else it must be cheaper than each peer. */
  readonly isJudged: boolean
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

const peerEntrant = (peer: Peer, servers: Entrant["servers"]): Entrant => ({
  name: `${peer.name} ${peer.pin.version}`,
  servers,
  isPeer: true,
  isJudged: false,
  start: (signal) => startPeer(peer, signal),
})

const ownEntrant = (
  name: string,
  processes: Processes,
  isJudged: boolean,
  start: (script: string, processes: Processes) => Promise<Started>,
): Entrant => ({
  name: `${name}, ${processes}`,
  servers: processes === "shared" ? "one" : "one a session",
  isPeer: false,
  isJudged,
  start: async () => toRunning(await start(script, processes)),
})

/** All that take part. Each of our two modes has a peer that uses its server in the same way. */
export const entrants: readonly Entrant[] = [
  peerEntrant(mcpProxy, "one"),
  ownEntrant("reflow gateway + bridge", "shared", true, startGateway),
  ownEntrant("reflow bridge alone", "shared", false, startBridge),
  peerEntrant(supergateway, "one a session"),
  ownEntrant("reflow gateway + bridge", "per_session", true, startGateway),
  ownEntrant("reflow bridge alone", "per_session", false, startBridge),
]
