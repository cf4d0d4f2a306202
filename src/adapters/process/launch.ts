import { type ChildProcess, spawn } from "node:child_process"
import { accessSync, constants, statSync } from "node:fs"
import { delimiter, isAbsolute, join, resolve } from "node:path"
import type { ClockPort } from "../../ports/clock.ts"
import { captureLines, type LogRing } from "./log-ring.ts"
import type { Exit } from "./status.ts"

/**
 * Starts the server as the leader of its own process group, with a watcher process in the same group. The watcher reads
 * from a pipe that this process holds open and never writes to. When the pipe ends, this process has ended, even by
 * SIGKILL, and the watcher kills the whole group with itself. The server replaces the shell (`exec`), so this process
 * gets its exit code and signal. The watcher is forked twice, so it is not a child of the server: a server that waits
 * for all its children would otherwise never end. The watcher ignores the signals that programs send to their own
 * group, and does so before the server starts, which may signal its group at once. It holds the server's output open
 * without writing, so that the output ends only when the whole group has ended.
 */
const script = `exec 3<&0 </dev/null
( trap '' HUP INT QUIT TERM USR1 USR2; ( read -r _ <&3; kill -s KILL 0 ) 2>/dev/null & )
exec "$@" 3<&-`

/** Input for {@link launch}. */
type LaunchInput = {
  readonly argv: readonly string[]
  readonly variables: Readonly<Record<string, string>>
  readonly workingDirectory: string
  /** Gets the lines of stdout and stderr. */
  readonly log: LogRing
  readonly clock: ClockPort
}

/** A running server process and its group. */
export type Child = {
  readonly pid: number
  /** Resolves once the server has ended, its group was killed and its output was read. */
  readonly exited: Promise<Exit>
  /** Sends a signal to the whole group. */
  signal(name: "SIGTERM" | "SIGKILL"): void
}

/**
 * How long output is still read after the server has ended, milliseconds: a process outside the group may hold the
 * pipes.
 */
const drainMs = 500

const killGroup = (pid: number, name: NodeJS.Signals): void => {
  try {
    process.kill(-pid, name)
  } catch {
    // ESRCH: the group does not exist any more; EPERM: on macOS, the group has only zombies
  }
}

const exitOf = (child: ChildProcess, pid: number, clock: ClockPort): Promise<Exit> =>
  new Promise((resolve) => {
    child.once("exit", (code, signal) => {
      // as in a container, all other processes end when the first one has ended
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

/**
 * Why the process could not be started. Has only the error's code, since the error's text may quote the environment.
 */
const refusal = (error: unknown): { readonly refused: string } => ({
  refused: `the process could not be started (${error instanceof Error && "code" in error ? error.code : "unknown"})`,
})

/** Spawns the group. Depending on its code and the runtime, an error is thrown or comes as an event. */
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

/** Starts a server; resolves with `refused`, a message, if the process cannot be started. */
export const launch = async (input: LaunchInput): Promise<Child | { readonly refused: string }> => {
  const { log, clock } = input
  const child = await trySpawn(input)
  if ("refused" in child) return child
  const { pid } = child
  // also emitted for a signal to a process that has ended already
  child.on("error", () => {})
  child.stdin.on("error", () => {})
  captureLines(child.stdout, log)
  captureLines(child.stderr, log)
  return { pid, exited: exitOf(child, pid, clock), signal: (name) => killGroup(pid, name) }
}

/** Longest wait for a process after SIGKILL, milliseconds: it may be blocked in a system call. */
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

/** Sends SIGTERM to the group, and SIGKILL after `graceMs`. False if it has not ended {@link killedMs} after that. */
export const terminate = async (child: Child, graceMs: number, clock: ClockPort): Promise<boolean> => {
  if (graceMs > 0) {
    child.signal("SIGTERM")
    if (await endsWithin(child, graceMs, clock)) return true
  }
  child.signal("SIGKILL")
  return endsWithin(child, killedMs, clock)
}

/** Where {@link whyNotRunnable} searches for a program. */
type ProgramPlace = {
  /** The container's PATH. */
  readonly path: string
  readonly workingDirectory: string
}

/**
 * Why a program cannot run, as a message like those of container runtimes; undefined if it can. The message shows the
 * program as `shown`, the text in the Pod, because `name` may contain a secret in place of `$(NAME)`.
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
