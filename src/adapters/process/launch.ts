import { type ChildProcess, spawn } from "node:child_process"
import { accessSync, constants, statSync } from "node:fs"
import { createServer } from "node:net"
import { delimiter, isAbsolute, join, resolve } from "node:path"
import { AppError } from "../../errors.ts"
import type { ClockPort } from "../../ports/clock.ts"
import { captureLines, type LogRing } from "./log-ring.ts"
import type { Exit } from "./status.ts"

/**
 * Starts the server as the leader of a process group of its own, with a watcher in the same group. The watcher reads a
 * pipe that this process holds open and nobody writes to: its end means that this process has gone, however that
 * happened, and the watcher kills the whole group, itself included. The server takes the shell's place (`exec`), so its
 * exit code and signal are ours to see; the watcher is no child of it (twice forked), or servers that wait for all
 * their children would wait for it. It outlives the signals that programs send to their own group. It keeps the server's
 * output open, into which it writes nothing: so the output ends when the whole group has, not only the server.
 */
const script = `exec 3<&0 </dev/null
( ( trap '' HUP INT QUIT TERM USR1 USR2; read -r _ <&3; kill -s KILL 0 ) 2>/dev/null & )
exec "$@" 3<&-`

/** What to start. */
type LaunchInput = {
  readonly argv: readonly string[]
  readonly variables: Readonly<Record<string, string>>
  readonly workingDirectory: string
  /** Where its output goes. */
  readonly log: LogRing
  readonly clock: ClockPort
}

/** A running server process and its group. */
export type Child = {
  readonly pid: number
  /** Resolves once the server has ended, its group is gone and its output is read. */
  readonly exited: Promise<Exit>
  /** Sends a signal to the whole group. */
  signal(name: "SIGTERM" | "SIGKILL"): void
}

/** How long output may still arrive after the end; a process that left the group may hold the pipes open. */
const drainMs = 500

const killGroup = (pid: number, name: NodeJS.Signals): void => {
  try {
    process.kill(-pid, name)
  } catch {
    // ESRCH: gone already; EPERM: macOS says so of a group that has only zombies
  }
}

const exitOf = (child: ChildProcess, pid: number, clock: ClockPort): Promise<Exit> =>
  new Promise((resolve) => {
    child.once("exit", (code, signal) => {
      // like a container, the group ends with its first process
      killGroup(pid, "SIGKILL")
      const done = () => {
        cancel()
        resolve({ code, signal })
      }
      const cancel = clock.timer(drainMs, () => {
        child.stdout?.destroy()
        child.stderr?.destroy()
      })
      child.once("close", done)
    })
  })

type Piped = ReturnType<typeof spawnGroup>

const spawnGroup = ({ argv, variables, workingDirectory }: LaunchInput) =>
  spawn("/bin/sh", ["-c", script, "reflow", ...argv], {
    cwd: workingDirectory,
    env: { ...variables },
    detached: true,
    stdio: ["pipe", "pipe", "pipe"],
  })

/** Why the machine refused. The error's own text is left out: it may quote the environment. */
const refusal = (error: unknown): { readonly refused: string } => ({
  refused: `the process could not be started (${error instanceof Error && "code" in error ? error.code : "unknown"})`,
})

/** A refusal is thrown or told later, depending on its code and the runtime. */
const trySpawn = async (input: LaunchInput): Promise<(Piped & { pid: number }) | { readonly refused: string }> => {
  try {
    const child = spawnGroup(input)
    const { pid } = child
    if (pid !== undefined) return Object.assign(child, { pid })
    return refusal(await new Promise((resolve) => child.once("error", resolve)))
  } catch (error) {
    return refusal(error)
  }
}

/** Starts a server; resolves with why not if the machine refuses. */
export const launch = async (input: LaunchInput): Promise<Child | { readonly refused: string }> => {
  const { log, clock } = input
  const child = await trySpawn(input)
  if ("refused" in child) return child
  const { pid } = child
  // a signal that comes too late is told here, too
  child.on("error", () => {})
  child.stdin.on("error", () => {})
  captureLines(child.stdout, log)
  captureLines(child.stderr, log)
  return { pid, exited: exitOf(child, pid, clock), signal: (name) => killGroup(pid, name) }
}

/** Longest wait for a process that was killed: the kernel may hold it in a call. */
const killedMs = 5_000

const endsWithin = async (child: Child, ms: number, clock: ClockPort): Promise<boolean> => {
  const late = new AbortController()
  const timer = clock.sleep(ms, late.signal).then(
    () => false,
    () => true,
  )
  try {
    return await Promise.race([child.exited.then(() => true), timer])
  } finally {
    late.abort()
  }
}

/** Asks the group to end, and kills it after `graceMs`. False if it is still there after that. */
export const terminate = async (child: Child, graceMs: number, clock: ClockPort): Promise<boolean> => {
  if (graceMs > 0) {
    child.signal("SIGTERM")
    if (await endsWithin(child, graceMs, clock)) return true
  }
  child.signal("SIGKILL")
  return endsWithin(child, killedMs, clock)
}

/** Where to look for a program. */
type ProgramPlace = {
  /** The container's PATH. */
  readonly path: string
  readonly workingDirectory: string
}

/**
 * Why a program cannot run, in the words of container runtimes; undefined if it can. They show it as `shown`: the Pod's
 * own word for it, since `$(NAME)` in that may stand for a secret.
 */
export const whyNotRunnable = (name: string, place: ProgramPlace, shown: string): string | undefined => {
  if (!isDirectory(place.workingDirectory)) return `working directory "${place.workingDirectory}" does not exist`
  const because = (reason: string | undefined) => (reason === undefined ? undefined : `exec: "${shown}": ${reason}`)
  if (name === "") return because("no command")
  if (name.includes("/")) return because(whyNotFile(resolve(place.workingDirectory, name)))
  const folders = place.path
    .split(delimiter)
    .map((folder) => (isAbsolute(folder) ? folder : resolve(place.workingDirectory, folder)))
  const reasons = folders.map((folder) => whyNotFile(join(folder, name)))
  if (reasons.includes(undefined)) return undefined
  return because(reasons.includes(denied) ? denied : "executable file not found in $PATH")
}

const denied = "permission denied"

const isDirectory = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() === true

const whyNotFile = (path: string): string | undefined => {
  try {
    if (statSync(path).isDirectory()) return "is a directory"
    accessSync(path, constants.X_OK)
    return undefined
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined
    return code === "EACCES" ? denied : "no such file or directory"
  }
}

/** The loopback ports that the node's containers listen on. */
export type Ports = {
  /** A port that is free now and that no other container of this node was given: `wanted` if possible. */
  take(wanted?: number): Promise<number>
  /** Makes a port available again. */
  release(port: number): void
}

/** The port that listening on `port` gets, or undefined if it is taken. 0 = any. */
const tryPort = (port: number): Promise<number | undefined> =>
  new Promise((resolve) => {
    const server = createServer()
    server.once("error", () => resolve(undefined))
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => {
      const address = server.address()
      const found = typeof address === "object" ? address?.port : undefined
      server.close(() => resolve(found))
    })
  })

const attempts = 20

/** Makes the book of given ports. */
export const createPorts = (): Ports => {
  const given = new Set<number>()
  const claim = (port: number | undefined): port is number => {
    if (port === undefined || given.has(port)) return false
    given.add(port)
    return true
  }
  return {
    take: async (wanted) => {
      for (let attempt = 0; attempt < attempts; attempt++) {
        const port = await tryPort(attempt === 0 ? (wanted ?? 0) : 0)
        if (claim(port)) return port
      }
      throw new AppError("Internal", { detail: "No free port was found on 127.0.0.1." })
    },
    release: (port) => void given.delete(port),
  }
}

/**
 * True if a log tells that the server found its port taken, in the words of Node, Deno, Python, Go, Java or Rust:
 * between our look and its own listen another program may have come first.
 */
export const tellsPortTaken = (log: string): boolean => /EADDRINUSE|AddrInUse|address (is )?already in use/i.test(log)
