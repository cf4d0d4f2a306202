/** A process that is measured, of a program in any language. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { get } from "node:http"
import { connect } from "node:net"
import { setTimeout as sleep } from "node:timers/promises"
import { parseResident, readProc, readProcesses, treeOf } from "./proc.ts"

/** Which program to start, and how to see that it is ready. */
export type ProcessOptions = {
  readonly command: string
  readonly args: readonly string[]
  /** Laid over the variables of this process. */
  readonly env?: Readonly<Record<string, string>>
  /** Working directory; default: that of this process. */
  readonly cwd?: string
  /** A port on 127.0.0.1 that accepts connections, or a URL that gives any answer, or one with this status. */
  readonly ready: { readonly port: number } | { readonly url: string; readonly status?: number }
  /** How long it may take until it is ready, milliseconds; default 30,000. */
  readonly readyMs?: number
  /**
   * A process in the tree that has this text as one of its arguments is not counted, nor what it has started: the MCP
   * server that a gateway has started, for instance.
   */
  readonly apart?: string
}

/** A running process. */
export type MeasuredProcess = {
  readonly pid: number
  /** Time from its start until it was ready, milliseconds. */
  readonly startMs: number
  /** User and system time of the process and all that it has started, since their start, in microseconds. */
  cpu(): number
  /** Resident memory of the process and all that it has started, in bytes. Pages that they share count for each. */
  resident(): number
  /** The last part of what it has printed. */
  output(): string
  /** Ends it with SIGTERM, after 10 s with SIGKILL; resolves when it is gone. What is left of its group is killed. */
  stop(): Promise<void>
}

/** Most characters of a process' output that are kept. */
const keptOutput = 4_096
const pollMs = 5
const stopMs = 10_000
/** How long the end of the group is waited for after SIGKILL: a process may be blocked in a system call. */
const killedMs = 1_000
/** How long one attempt to reach the process may take. */
const attemptMs = 1_000

const accepts = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1", timeout: attemptMs })
    const end = (found: boolean) => {
      socket.destroy()
      resolve(found)
    }
    socket.once("connect", () => end(true))
    socket.once("error", () => end(false))
    socket.once("timeout", () => end(false))
  })

const answers = (url: string, status: number | undefined): Promise<boolean> =>
  new Promise((resolve) => {
    const request = get(url, { agent: false, timeout: attemptMs }, (response) => {
      response.destroy()
      resolve(status === undefined || response.statusCode === status)
    })
    request.once("error", () => resolve(false))
    request.once("timeout", () => request.destroy())
  })

/** Keeps the last part of the output. Everything is read, so that the process never waits for a full pipe. */
const keepOutput = (child: ChildProcess): (() => string) => {
  let kept = ""
  const take = (chunk: Buffer): void => {
    // of a large piece only the end is decoded: a gateway's log has megabytes a second
    kept = (kept + chunk.subarray(-keptOutput).toString()).slice(-keptOutput)
  }
  child.stdout?.on("data", take)
  child.stderr?.on("data", take)
  return () => kept
}

const killGroup = (group: number): void => {
  try {
    process.kill(-group, "SIGKILL")
  } catch {
    // nothing is left of the group
  }
}

const isGroupLeft = (id: number): boolean => readProcesses().some(({ group, isZombie }) => group === id && !isZombie)

const hasEnded = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null

const stopChild = async (child: ChildProcess, pid: number): Promise<void> => {
  if (!hasEnded(child)) {
    const ended = once(child, "exit")
    child.kill("SIGTERM")
    const forced = setTimeout(() => killGroup(pid), stopMs)
    await ended
    clearTimeout(forced)
  }
  killGroup(pid)
  const end = performance.now() + killedMs
  while (isGroupLeft(pid) && performance.now() < end) await sleep(pollMs)
}

const waitUntilReady = async (child: ChildProcess, options: ProcessOptions, output: () => string): Promise<void> => {
  const { command, ready, readyMs = 30_000 } = options
  const end = performance.now() + readyMs
  const isReady = () => ("port" in ready ? accepts(ready.port) : answers(ready.url, ready.status))
  while (!(await isReady())) {
    if (hasEnded(child)) throw new Error(`${command} ended before it was ready:\n${output()}`)
    if (performance.now() > end) throw new Error(`${command} was not ready within ${readyMs} ms:\n${output()}`)
    await sleep(pollMs)
  }
}

const spawnChild = async ({ command, args, env, cwd }: ProcessOptions): Promise<ChildProcess & { pid: number }> => {
  // a group of its own, so that nothing which it starts outlives it
  const child = spawn(command, args, {
    env: { ...process.env, ...env },
    ...(cwd === undefined ? {} : { cwd }),
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  })
  const { pid } = child
  if (pid === undefined) {
    const [error] = await once(child, "error")
    throw new Error(`${command} could not be started: ${error}`)
  }
  return Object.assign(child, { pid })
}

/** Starts a process; resolves when it is ready. Throws with its output if it ends before, or takes too long. */
export const startProcess = async (options: ProcessOptions): Promise<MeasuredProcess> => {
  const since = performance.now()
  const child = await spawnChild(options)
  const { pid } = child
  const output = keepOutput(child)
  const onExit = () => killGroup(pid)
  process.once("exit", onExit)
  const stop = async () => {
    await stopChild(child, pid)
    process.off("exit", onExit)
  }
  const { apart } = options
  const isApart = (each: number) => apart !== undefined && readProc(each, "cmdline").split("\0").includes(apart)
  const tree = () => treeOf(pid, readProcesses(), isApart)
  try {
    await waitUntilReady(child, options, output)
  } catch (error) {
    await stop()
    throw error
  }
  return {
    pid,
    startMs: performance.now() - since,
    cpu: () => tree().reduce((sum, each) => sum + each.cpu, 0),
    resident: () => tree().reduce((sum, each) => sum + parseResident(readProc(each.pid, "status")), 0),
    output,
    stop,
  }
}
