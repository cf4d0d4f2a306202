/** A command that installs something. */
import { spawn } from "node:child_process"

/** How a command runs. */
export type CommandOptions = {
  readonly cwd: string
  /** Laid over the variables of this process. */
  readonly env?: Readonly<Record<string, string>>
  /** After this time it is killed, with all that it has started; milliseconds. */
  readonly limitMs: number
  readonly signal: AbortSignal
}

const keptOutput = 16_384

/** The last lines that say something, in one line. Most registries say what went wrong at the end. */
export const reasonIn = (output: string): string => {
  const lines = output.split("\n").map((line) => line.trim())
  return lines
    .filter((line) => line !== "" && !line.startsWith("npm notice"))
    .slice(-2)
    .join(" ")
    .slice(0, 400)
}

const killGroup = (pid: number): void => {
  try {
    process.kill(-pid, "SIGKILL")
  } catch {
    // nothing is left of the group
  }
}

/**
 * Runs a command until it ends; resolves with the last part of its output. Throws with a plain reason if it cannot be
 * started, fails, takes too long or is aborted.
 */
export const runCommand = (command: string, args: readonly string[], options: CommandOptions): Promise<string> =>
  new Promise((resolve, reject) => {
    const { cwd, env, limitMs, signal } = options
    const limit = AbortSignal.timeout(limitMs)
    const ended = AbortSignal.any([signal, limit])
    const stdio = ["ignore", "pipe", "pipe"] as const
    // a group of its own: compilers and the like end with it
    const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, detached: true, stdio: [...stdio] })
    let output = ""
    const take = (chunk: Buffer): void => {
      output = (output + chunk.toString()).slice(-keptOutput)
    }
    child.stdout.on("data", take)
    child.stderr.on("data", take)
    const kill = (): void => {
      if (child.pid !== undefined) killGroup(child.pid)
    }
    ended.addEventListener("abort", kill)
    if (ended.aborted) kill()
    child.once("error", (error) => reject(new Error(`${command} could not be started: ${error.message}`)))
    child.once("close", (code) => {
      ended.removeEventListener("abort", kill)
      if (code === 0) resolve(output)
      else if (signal.aborted) reject(new Error("it was interrupted"))
      else if (limit.aborted) reject(new Error(`${command} took longer than ${limitMs / 1_000} s`))
      else reject(new Error(`${command} failed: ${reasonIn(output)}`))
    })
  })
