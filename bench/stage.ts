/** All programs of the benchmark, running and warm: the gateway, what it is compared with, and the server behind that. */
import { join } from "node:path"
import { echoed, modernCall, openSession, type Session, sessionCall } from "./calls.ts"
import type { Request } from "./connection.ts"
import type { LoadGenerator } from "./load.ts"
import { findNginx, startNginx } from "./nginx.ts"
import { freePort } from "./ports.ts"
import { type MeasuredProcess, startProcess } from "./process.ts"
import { type Reflow, startReflow } from "./reflow.ts"
import { makeScratch } from "./scratch.ts"
import { warmUp } from "./warm-up.ts"

/** A way through a program. */
export type Side = {
  readonly process: MeasuredProcess
  /** A small tools/call, and one whose answer has 1 MB. */
  readonly small: Request
  readonly large: Request
}

/** Names of the sides. nginx is there only if it is installed. */
export type SideName =
  | "session"
  | "modern"
  | "all tools"
  | "remote"
  | "modern remote"
  | "pipe"
  | "modern pipe"
  | "nginx"
  | "h3"

/** Running programs. */
export type Stage = {
  readonly sides: ReadonlyMap<SideName, Side>
  readonly reflow: Reflow
  stop(): Promise<void>
}

const nodeProgram = (name: string, args: readonly string[], port: number): Promise<MeasuredProcess> =>
  startProcess({
    command: process.execPath,
    args: [join(import.meta.dirname, name), "--port", String(port), ...args],
    ready: { port },
  })

/** The MCP server by itself. */
export const startServer = async (): Promise<{ readonly process: MeasuredProcess; readonly origin: string }> => {
  const port = await freePort()
  return { process: await nodeProgram("server.ts", [], port), origin: `http://127.0.0.1:${port}` }
}

/** A proxy in front of a server; `url` is the server's endpoint through it. */
export type RunningProxy = { readonly process: MeasuredProcess; readonly url: string }

/** Starts the bare pipe or the proxy of h3 in front of `origin`. */
export const startProxy = async (name: "pipe.ts" | "h3-proxy.ts", origin: string): Promise<RunningProxy> => {
  const port = await freePort()
  return { process: await nodeProgram(name, ["--to", origin], port), url: `http://127.0.0.1:${port}/mcp` }
}

const proxySide = ({ process, url }: RunningProxy, session: Session): Side => ({
  process,
  small: sessionCall({ url }, session),
  large: sessionCall({ url }, session, "big"),
})

/** The ways through the gateway, in sessions of their own. */
const reflowSides = async ({ process, narrow, open, remote }: Reflow): Promise<readonly [SideName, Side][]> => {
  const [inNarrow, inOpen, inRemote] = [await openSession(narrow), await openSession(open), await openSession(remote)]
  return [
    ["session", { process, small: sessionCall(narrow, inNarrow), large: sessionCall(narrow, inNarrow, "big") }],
    ["modern", { process, small: modernCall(narrow), large: modernCall(narrow, "big") }],
    ["remote", { process, small: sessionCall(remote, inRemote), large: sessionCall(remote, inRemote, "big") }],
    ["modern remote", { process, small: modernCall(remote), large: modernCall(remote, "big") }],
    ["all tools", { process, small: sessionCall(open, inOpen), large: sessionCall(open, inOpen, "big") }],
  ]
}

/** Ends what was started, in the opposite order. */
const createEnding = () => {
  const ends: (() => Promise<void>)[] = []
  return {
    add: <T extends { stop(): Promise<void> }>(started: T): T => {
      ends.push(() => started.stop())
      return started
    },
    addStep: (end: () => void) => ends.push(async () => end()),
    stop: async () => {
      for (const end of ends.splice(0).toReversed()) await end()
    },
  }
}
type Ending = ReturnType<typeof createEnding>

const startNginxSide = async (ending: Ending, origin: string, session: Session): Promise<[SideName, Side][]> => {
  const command = findNginx(process.env.PATH)
  if (command === undefined) return []
  const { folder, remove } = makeScratch("nginx-bench")
  ending.addStep(remove)
  const port = await freePort()
  const started = ending.add(await startNginx({ command, folder, port, to: origin }))
  return [["nginx", proxySide({ process: started, url: `http://127.0.0.1:${port}/mcp` }, session)]]
}

const startAll = async (ending: Ending): Promise<Omit<Stage, "stop">> => {
  const server = await startServer()
  ending.add(server.process)
  const session = await openSession({ url: `${server.origin}/mcp` })
  const [pipe, h3] = [await startProxy("pipe.ts", server.origin), await startProxy("h3-proxy.ts", server.origin)]
  for (const proxy of [pipe, h3]) ending.add(proxy.process)
  const nginx = await startNginxSide(ending, server.origin, session)
  const reflow = ending.add(await startReflow(`${server.origin}/mcp`))
  const { url } = pipe
  const modernPipe = { process: pipe.process, small: modernCall({ url }), large: modernCall({ url }, "big") }
  return {
    reflow,
    sides: new Map<SideName, Side>([
      ["pipe", proxySide(pipe, session)],
      ["modern pipe", modernPipe],
      ...(await reflowSides(reflow)),
      ...nginx,
      ["h3", proxySide(h3, session)],
    ]),
  }
}

/** What a stage is warmed up with. */
type WarmUpOptions = {
  readonly generator: LoadGenerator
  /** Length of one slice of the warm-up. */
  readonly seconds: number
  note(text: string): void
}

/** Connections of the warm-up. */
const connections = 16

/** Starts all programs, and sends each side the small call until the CPU time per call stands still. */
export const startStage = async ({ generator, seconds, note }: WarmUpOptions): Promise<Stage> => {
  const ending = createEnding()
  try {
    const all = await startAll(ending)
    if (!all.sides.has("nginx")) note("nginx is not installed: its rows are left out")
    for (const [name, { process: measured, small }] of all.sides) {
      const { figures, isSteady } = await warmUp(
        async () => (await generator.run({ ...small, connections, seconds, contains: echoed, process: measured })).cpu,
      )
      const shown = figures.map((each) => each.toFixed(0)).join(" ")
      note(`warm-up of ${name}: ${shown} µs a call${isSteady ? "" : ", and not steady yet"}`)
    }
    return { ...all, stop: ending.stop }
  } catch (error) {
    await ending.stop()
    throw error
  }
}
