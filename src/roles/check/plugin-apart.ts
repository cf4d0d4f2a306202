/**
 * Checks a plugin in a child process: an endless loop in a plugin blocks its process, so only another process can end
 * it. The child is the same program with the same arguments. It sends messages on its standard output, as lines that
 * begin with a random mark; all other lines are the plugin's own output.
 */
import { spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import { createInterface } from "node:readline"
import { AppError } from "../../errors.ts"
import { isSingleExecutable } from "../../plugin/load.ts"
import { findingText } from "./finding.ts"
import { type PluginCheck, runPluginCheck } from "./plugin.ts"

/** Environment variable that makes a process the child, `MARK:INDEX`: the mark, and the index of the file to check. */
const variable = "REFLOW_PLUGIN_CHECK"
/** How often the child sends that it is alive, in milliseconds. */
const beatMs = 250
/** How long the child may send nothing, in milliseconds: after that time, a loop is assumed to block it. */
const silenceMs = 5_000
/** The same for the first message, since the program must start first. */
const startMs = 60_000

/** How to start this program again as a child. */
export type RestartCommand = {
  readonly command: string
  readonly args: readonly string[]
  readonly environment: Readonly<Record<string, string | undefined>>
}

/**
 * How to start the process with these arguments (process.argv) again, in each form of the program: source or bundle
 * under Node or Deno, or the single executable, which has no script.
 */
export const restartCommand = (
  [, script = "", ...args]: readonly string[],
  environment: RestartCommand["environment"],
): RestartCommand => {
  const before = Object.hasOwn(globalThis, "Deno") ? ["run", "-A"] : process.execArgv
  const own = isSingleExecutable() ? [] : [...before, script]
  return { command: process.execPath, args: [...own, ...args], environment }
}

/** A message of the child: `begin` names the step that runs next, `line` is output of the check, `done` is the last. */
type Message =
  | { readonly kind: "alive" }
  | { readonly kind: "begin"; readonly what: string }
  | { readonly kind: "line"; readonly text: string }
  | { readonly kind: "done"; readonly ok: boolean }

/** What a child must do: the index of the file to check, and the mark of its messages. */
export type ChildTask = { readonly index: number; readonly mark: string }

/** The task of this process; undefined if it is not a child. */
export const childTaskOf = (environment: RestartCommand["environment"]): ChildTask | undefined => {
  const [mark, index] = environment[variable]?.split(":") ?? []
  return mark === undefined || index === undefined ? undefined : { mark, index: Number(index) }
}

/**
 * Runs in the child: checks a plugin and sends the messages to `write`, which must write synchronously. Resolves with
 * true if the check found no failure.
 */
export const runChildTask = async (
  check: PluginCheck,
  { mark }: ChildTask,
  write: (text: string) => void,
): Promise<boolean> => {
  const send = (message: Message): void => write(`\n${mark}:${JSON.stringify(message)}\n`)
  send({ kind: "alive" })
  const beat = setInterval(() => send({ kind: "alive" }), beatMs)
  try {
    const begin = (what: string) => send({ kind: "begin", what })
    const ok = await runPluginCheck(check, { begin, write: (text) => send({ kind: "line", text }) })
    send({ kind: "done", ok })
    return ok
  } finally {
    clearInterval(beat)
  }
}

const hangs = (what: string): string =>
  findingText({
    what,
    ok: false,
    detail: `it did not return within ${silenceMs / 1_000} s and blocks the whole program; later steps were not run`,
    help: "end its loop, or return a promise",
  })

const leaves = (what: string, how: string): string =>
  findingText({ what, ok: false, detail: `it ended the process (${how})`, help: "a plugin must not end the process" })

/**
 * Starts a child that checks the file of this index, and passes on its output. A child that is blocked is killed, which
 * is a failure. Resolves with true if the check found no failure.
 */
export const checkApart = (
  { command, args, environment }: RestartCommand,
  {
    index,
    write,
    print,
    signal,
  }: {
    readonly index: number
    /** Gets the lines of the check. */
    readonly write: (text: string) => void
    /** Gets what the plugin itself prints. */
    readonly print: (text: string) => void
    readonly signal: AbortSignal
  },
): Promise<boolean> => {
  const mark = randomBytes(12).toString("hex")
  const env = { ...environment, [variable]: `${mark}:${index}` }
  const child = spawn(command, [...args], { env, stdio: ["ignore", "pipe", "inherit"], signal, killSignal: "SIGKILL" })
  const { promise, resolve, reject } = Promise.withResolvers<boolean>()
  let what = "plugin"
  let isEnded = false
  let hasReported = false
  const end = (ok: boolean, text = ""): void => {
    if (!isEnded) write(text)
    isEnded = true
    clearTimeout(limit)
    child.kill("SIGKILL")
    resolve(ok)
  }
  const watch = (ms: number) => setTimeout(() => end(false, hangs(what)), ms)
  let limit = watch(startMs)
  const receive = (message: Message): void => {
    hasReported = true
    clearTimeout(limit)
    limit = watch(silenceMs)
    if (message.kind === "begin") what = message.what
    else if (message.kind === "line") write(message.text)
    else if (message.kind === "done") end(message.ok)
  }
  createInterface({ input: child.stdout }).on("line", (line) => {
    if (isEnded) return
    if (line.startsWith(`${mark}:`)) receive(JSON.parse(line.slice(mark.length + 1)))
    else if (line !== "") print(`${line}\n`)
  })
  child.once("error", (error) => {
    isEnded = true
    clearTimeout(limit)
    reject(error)
  })
  // `close` and not `exit`: all output of the child has been read by then
  child.once("close", (code, name) => {
    const how = name ?? `exit code ${code}`
    if (hasReported) return end(false, leaves(what, how))
    clearTimeout(limit)
    reject(new AppError("Internal", { detail: `The process of the check could not be started (${how}).` }))
  })
  return promise
}
