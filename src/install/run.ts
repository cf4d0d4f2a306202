import { type ChildProcess, spawn } from "node:child_process"
import { stripVTControlCharacters } from "node:util"
import { readable } from "../api/foreign-text.ts"
import { systemCode } from "../errors.ts"
import { createLineCutter } from "./lines.ts"
import type { Mask } from "./mask.ts"

/** How a program ended. */
export type Outcome = {
  /** Exit code; null: a signal ended it, or it was never started. */
  readonly code: number | null
  /** Why it could not be started, e.g. ENOENT; empty if it was. */
  readonly refused: string
  /** The first lines of its stdout, as they are: for programs that were asked something. */
  readonly answer: string
  /** The last lines of both outputs, masked. */
  readonly lines: readonly string[]
}

/** A program, and what it may have. */
export type Run = {
  /** Its name on the PATH of {@link environment}, or its absolute path. */
  readonly program: string
  readonly args: readonly string[]
  readonly folder: string
  readonly environment: Readonly<Record<string, string>>
}

/** What programs are started with. */
export type Runner = {
  /** Aborted: the program is killed at once, with all of its process group if it has one. */
  readonly signal: AbortSignal
  /**
   * False: programs stay in the process group of this one. On the embedded cluster that group ends with the installer,
   * and with the gateway, even if that is killed; a group of their own would not.
   */
  readonly ownGroup: boolean
  readonly mask: Mask
  /** Gets each line of output, with its end. */
  readonly write: (text: string) => void
}

/** Most lines that are kept. */
const keptLines = 200
/** Most characters of a line in the log. */
const shownCharacters = 1_000
/** Most characters that are kept of an answer. */
const longestAnswer = 4_096
/** How long output is still read after the program has ended, milliseconds: another process may hold the pipes. */
const drainMs = 500

const killAll = (child: ChildProcess, ownGroup: boolean): void => {
  const { pid } = child
  if (pid === undefined) return
  if (!ownGroup) return void child.kill("SIGKILL")
  try {
    process.kill(-pid, "SIGKILL")
  } catch {
    // the group does not exist any more
  }
}

/** Resolves once the process has ended, its group is killed and its output was read. */
const endOf = (child: ChildProcess, { signal, ownGroup }: Runner): Promise<Pick<Outcome, "code" | "refused">> =>
  new Promise((resolve) => {
    const kill = (): void => killAll(child, ownGroup)
    signal.addEventListener("abort", kill)
    if (signal.aborted) kill()
    child.on("error", (error) => {
      if (child.pid === undefined) resolve({ code: null, refused: systemCode(error) || "refused" })
    })
    child.once("exit", (code) => {
      kill()
      const late = setTimeout(() => {
        child.stdout?.destroy()
        child.stderr?.destroy()
      }, drainMs)
      child.once("close", () => {
        clearTimeout(late)
        signal.removeEventListener("abort", kill)
        resolve({ code, refused: "" })
      })
    })
  })

/**
 * Runs a program without a shell, as leader of a process group that ends with it, unless the runner says otherwise. Its
 * output goes to `write` line by line; that of an `asked` program is kept as an answer instead. Never rejects.
 */
export const run = async (
  { program, args, folder, environment }: Run,
  runner: Runner,
  asked = false,
): Promise<Outcome> => {
  const { mask, write, ownGroup: detached } = runner
  const lines: string[] = []
  let answer = ""
  const take = (text: string): void => {
    const line = readable(mask(stripVTControlCharacters(text)), shownCharacters)
    lines.push(line)
    if (lines.length > 2 * keptLines) lines.splice(0, keptLines)
    write(`${line}\n`)
  }
  const outputs = [
    createLineCutter((text) => {
      if (!asked) take(text)
      else if (answer.length + text.length < longestAnswer) answer += text
    }),
    createLineCutter(take),
  ]
  let child: ChildProcess
  try {
    child = spawn(program, args, { cwd: folder, env: environment, detached, stdio: ["ignore", "pipe", "pipe"] })
  } catch (error) {
    return { code: null, refused: systemCode(error) || "refused", answer, lines }
  }
  child.stdout?.on("data", (chunk: Buffer) => outputs[0]?.push(chunk))
  child.stderr?.on("data", (chunk: Buffer) => outputs[1]?.push(chunk))
  const end = await endOf(child, runner)
  for (const output of outputs) output.end()
  return { ...end, answer, lines: lines.slice(-keptLines) }
}
