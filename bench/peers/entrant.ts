/** A running program that takes part in a comparison, with an open session. */
import { randomBytes } from "node:crypto"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { freePort } from "../ports.ts"
import { startProcess } from "../process.ts"
import type { Peer } from "./peer.ts"
import { type EchoCall, openSession } from "./session.ts"

/** A program that answers calls. */
export type Entrant = {
  readonly name: string
  /** Its MCP endpoint. */
  readonly url: string
  readonly call: EchoCall
  readonly process: { cpu(): number; resident(): number }
  stop(): Promise<void>
}

/** The measured server: its endpoint, and its program. */
export type Server = { readonly upstream: string; readonly server: string }

/** Starts a peer that was installed into this folder, and opens a session. Throws with a plain reason. */
export const startPeer = async (
  peer: Peer,
  installed: string,
  server: Server,
  signal: AbortSignal,
): Promise<Entrant> => {
  await using stack = new AsyncDisposableStack()
  const scratch = await mkdtemp(join(tmpdir(), "reflow-bench-peer-"))
  stack.defer(() => rm(scratch, { recursive: true, force: true }))
  const port = await freePort()
  const secret = randomBytes(48).toString("base64")
  const launch = await peer.launch({ installed, scratch, port, secret, ...server })
  const started = await startProcess(launch.process)
  stack.defer(() => started.stop())
  await launch.enrol?.(signal)
  const call = await openSession({ url: launch.url, headers: launch.headers ?? {}, signal })
  const kept = stack.move()
  return { name: peer.name, url: launch.url, call, process: started, stop: () => kept.disposeAsync() }
}
