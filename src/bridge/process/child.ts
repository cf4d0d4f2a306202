import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process"
import type { Writable } from "node:stream"
import { systemCode } from "../../errors.ts"
import { createLineSplitter } from "./lines.ts"
import { createTail, type Tail } from "./tail.ts"

/** How a child ended: its exit code, or the signal that killed it, or why it could not be started. */
export type Death = {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  /** Code of the operating system, e.g. ENOENT. */
  readonly refused?: string
}

/** How children are started and ended. */
export type ChildOptions = {
  /** Program and arguments. */
  readonly command: readonly string[]
  readonly environment: Readonly<Record<string, string | undefined>>
  /** True: a shell beside the child kills its process group when this program ends, even by SIGKILL. */
  readonly guarded: boolean
  /** How long each step of the ending may take, milliseconds. */
  readonly graceMs: number
  /** What somebody should know if the server fails; see {@link Child.hint}. */
  readonly hint?: string | undefined
}

/** Where a child's output goes. */
type Outputs = {
  /** Gets each line of stdout. */
  readonly line: (line: Buffer) => void
  /** Called for a line of stdout that is too long. */
  readonly tooLong: () => void
  /** Gets stderr as it comes. */
  readonly stderr: (chunk: Buffer) => void
}

/** A running server that speaks MCP over stdin and stdout. */
export type Child = {
  readonly pid: number | undefined
  /** Resolves once the process has ended, its group was killed and its output was read. Never rejects. */
  readonly ended: Promise<Death>
  /** The last lines of stderr. */
  readonly tail: Tail
  /** A sentence for errors about a server that failed, which has no secrets; empty if there is none. */
  readonly hint: string
  /** Writes one line, to which the line end is added. False: the pipe is full, wait for {@link drained}. */
  write(line: string): boolean
  /** Resolves when the child has read what was written, or has ended; undefined if it may get more now. */
  drained(): Promise<void> | undefined
  /** Stops reading stdout for as long as somebody holds it; the pipe then makes the child wait. */
  hold(by: object): void
  release(by: object): void
  /** Ends the process: closes stdin, then SIGTERM and SIGKILL to its group. Resolves when it has ended. */
  end(): Promise<void>
  /** Called once when the ending begins. */
  onEnding(call: () => void): void
}

/** Most bytes of a line of stdout. */
export const longestLine = 16 * 2 ** 20

/**
 * Kills the group when the pipe at descriptor 3 ends, which this program holds open and never writes to. The watcher is
 * forked twice, so that it is no child of the server, and it ignores the signals that programs send to their own group. It
 * does so before the server starts, which may signal its group at once.
 */
const guardScript = `( trap '' HUP INT QUIT TERM USR1 USR2; ( read -r _ <&3; kill -s KILL 0 ) </dev/null >/dev/null 2>&1 & )
exec "$@" 3<&-`

/** How long output is still read after the process has ended, milliseconds: another process may hold the pipes. */
const drainMs = 500

const killGroup = (pid: number | undefined, name: NodeJS.Signals): void => {
  if (pid === undefined) return
  try {
    process.kill(-pid, name)
  } catch {
    // the group does not exist any more
  }
}

type Piped = ChildProcess & {
  readonly stdin: NonNullable<ChildProcess["stdin"]>
  readonly stdout: NonNullable<ChildProcess["stdout"]>
  readonly stderr: NonNullable<ChildProcess["stderr"]>
}

/** Spawns the process as leader of a group of its own. An error is thrown, or comes as an event. */
const spawnChild = ({ command, environment, guarded }: ChildOptions): Piped => {
  const [program = "", ...args] = command
  const options: SpawnOptions = { env: { ...environment }, detached: true, stdio: ["pipe", "pipe", "pipe"] }
  const child = guarded
    ? spawn("/bin/sh", ["-c", guardScript, "reflow", ...command], {
        ...options,
        stdio: ["pipe", "pipe", "pipe", "pipe"],
      })
    : spawn(program, args, options)
  // the pipes exist although the types of these options do not say so
  return child as Piped
}

const deathOf = (child: Piped): Promise<Death> =>
  new Promise((resolve) => {
    child.once("error", (error) => {
      if (child.pid === undefined) resolve({ code: null, signal: null, refused: systemCode(error) })
    })
    child.once("exit", (code, signal) => {
      // what the server left in its group would hold the pipes, and nobody else would end it
      killGroup(child.pid, "SIGKILL")
      // the guard's pipe, which nobody reads
      child.stdio[3]?.destroy()
      const late = setTimeout(() => {
        child.stdout.destroy()
        child.stderr.destroy()
      }, drainMs)
      child.once("close", () => {
        clearTimeout(late)
        resolve({ code, signal })
      })
    })
  })

const within = async (promise: Promise<unknown>, ms: number): Promise<boolean> => {
  const late = Promise.withResolvers<boolean>()
  const timer = setTimeout(() => late.resolve(false), ms)
  try {
    return await Promise.race([promise.then(() => true), late.promise])
  } finally {
    clearTimeout(timer)
  }
}

/** How long the process may take to end after SIGKILL, milliseconds: it may be blocked in a system call. */
const killedMs = 5_000

const endChild = async (child: Piped, ended: Promise<Death>, graceMs: number): Promise<void> => {
  child.stdin.end()
  if (await within(ended, graceMs)) return
  killGroup(child.pid, "SIGTERM")
  if (await within(ended, graceMs)) return
  killGroup(child.pid, "SIGKILL")
  await within(ended, killedMs)
}

/**
 * Writes lines to a child; false: the pipe is full. What is written while the event loop handles what has arrived goes out
 * in one system call: with 64 open calls, a call each was a quarter of the bridge's CPU time.
 */
const createLineWriter = (stdin: Writable): Child["write"] => {
  let isCorked = false
  const flush = (): void => {
    isCorked = false
    stdin.uncork()
  }
  return (line) => {
    if (!stdin.writable) return false
    if (!isCorked) {
      isCorked = true
      stdin.cork()
      setImmediate(flush)
    }
    return stdin.write(`${line}\n`)
  }
}

/** Resolves when a full pipe has room again, or its process has ended; one promise for all who wait at the same time. */
const createDrained = (stdin: Writable, ended: Promise<unknown>): Child["drained"] => {
  let draining: Promise<void> | undefined
  return () => {
    if (!stdin.writableNeedDrain) return undefined
    draining ??= new Promise<void>((resolve) => {
      const over = (): void => {
        draining = undefined
        stdin.off("drain", over)
        resolve()
      }
      stdin.once("drain", over)
      void ended.then(over)
    })
    return draining
  }
}

/** A child that could not even be spawned: it has ended, and takes and says nothing. */
const refusedChild = (error: unknown, { hint = "" }: ChildOptions): Child => {
  const ended = Promise.resolve({ code: null, signal: null, refused: systemCode(error) })
  const nothing = () => undefined
  return {
    pid: undefined,
    ended,
    tail: createTail(),
    hint,
    write: () => false,
    drained: nothing,
    hold: nothing,
    release: nothing,
    end: async () => {},
    onEnding: nothing,
  }
}

const follow = (child: Piped, { graceMs, hint = "" }: ChildOptions, { line, tooLong, stderr }: Outputs): Child => {
  const tail = createTail()
  const ended = deathOf(child)
  const splitter = createLineSplitter(longestLine, { line, tooLong })
  child.on("error", () => {})
  child.stdin.on("error", () => {})
  child.stdout.on("data", (chunk: Buffer) => splitter.push(chunk))
  child.stderr.on("data", (chunk: Buffer) => {
    tail.add(chunk)
    stderr(chunk)
  })
  let ending: Promise<void> | undefined
  let onEnding = (): void => {}
  const end = () => {
    if (ending === undefined) onEnding()
    ending ??= endChild(child, ended, graceMs)
    return ending
  }
  // a server that closed its stdout can answer nothing any more
  child.stdout.once("end", () => void end())
  const holders = new Set<object>()
  return {
    pid: child.pid,
    ended,
    tail,
    hint,
    write: createLineWriter(child.stdin),
    drained: createDrained(child.stdin, ended),
    hold: (by) => {
      holders.add(by)
      child.stdout.pause()
    },
    release: (by) => {
      if (holders.delete(by) && holders.size === 0) child.stdout.resume()
    },
    end,
    onEnding: (call) => {
      onEnding = call
    },
  }
}

/**
 * Starts a child. Never throws: a process that cannot be started has ended with `refused`. Depending on the error's code,
 * it is thrown or comes as an event.
 */
export const startChild = (options: ChildOptions, outputs: Outputs): Child => {
  let child: Piped
  try {
    child = spawnChild(options)
  } catch (error) {
    return refusedChild(error, options)
  }
  return follow(child, options, outputs)
}
