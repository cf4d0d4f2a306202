/**
 * Checks a plugin in a process of its own: an endless loop cannot be ended in the process that it holds up. The other process
 * is the same program with the same arguments; it tells on its standard output, between what the plugin itself prints,
 * lines that begin with a mark that both know.
 */
import { spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import { createInterface } from "node:readline"
import { AppError } from "../../errors.ts"
import { isSingleExecutable } from "../../plugin/load.ts"
import { findingText } from "./finding.ts"
import { type PluginCheck, runPluginCheck } from "./plugin.ts"

/** Variable by which the other process knows what it is: the mark, and which file it checks. */
const variable = "REFLOW_PLUGIN_CHECK"
/** How often the other process says that it is alive, in milliseconds. */
const beatMs = 250
/** How long it may say nothing: then a loop holds it up. */
const silenceMs = 5_000
/** The same until it first says something: the program itself must start. */
const startMs = 60_000

/** How this program is started once more. */
export type Again = {
  readonly command: string
  readonly args: readonly string[]
  readonly environment: Readonly<Record<string, string | undefined>>
}

/** How a process with these arguments is started once more, in each form of the program: the single executable has no script. */
export const againBy = ([, script = "", ...args]: readonly string[], environment: Again["environment"]): Again => {
  const before = Object.hasOwn(globalThis, "Deno") ? ["run", "-A"] : process.execArgv
  const own = isSingleExecutable() ? [] : [...before, script]
  return { command: process.execPath, args: [...own, ...args], environment }
}

type Word =
  | { readonly say: "alive" }
  | { readonly say: "begin"; readonly what: string }
  | { readonly say: "line"; readonly text: string }
  | { readonly say: "done"; readonly ok: boolean }

/** What this process is to do for another one: which of the files it checks, and how it tells. */
export type Errand = { readonly index: number; readonly mark: string }

/** The errand of this process; undefined if nobody gave it one. */
export const errandOf = (environment: Again["environment"]): Errand | undefined => {
  const [mark, index] = environment[variable]?.split(":") ?? []
  return mark === undefined || index === undefined ? undefined : { mark, index: Number(index) }
}

/** Does the errand of this process: checks a plugin and tells on `write`, which must have written when it returns. */
export const runErrand = async (
  check: PluginCheck,
  { mark }: Errand,
  write: (text: string) => void,
): Promise<boolean> => {
  const tell = (word: Word): void => write(`\n${mark}:${JSON.stringify(word)}\n`)
  tell({ say: "alive" })
  const beat = setInterval(() => tell({ say: "alive" }), beatMs)
  try {
    const begin = (what: string) => tell({ say: "begin", what })
    const ok = await runPluginCheck(check, { begin, write: (text) => tell({ say: "line", text }) })
    tell({ say: "done", ok })
    return ok
  } finally {
    clearInterval(beat)
  }
}

const hangs = (what: string): string =>
  findingText({
    what,
    ok: false,
    detail: `it did not return within ${silenceMs / 1_000} s and holds up the whole program; what comes after it was not tried`,
    help: "end its loop, or let it answer later with a promise",
  })

const leaves = (what: string, how: string): string =>
  findingText({ what, ok: false, detail: `it ended the process (${how})`, help: "let a plugin never end the process" })

/** Starts this program once more to check the file of this index, and hands on what it tells. Resolves with true if all is well. */
export const checkApart = (
  { command, args, environment }: Again,
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
  let isTold = false
  let isHeard = false
  const end = (ok: boolean, text = ""): void => {
    if (!isTold) write(text)
    isTold = true
    clearTimeout(limit)
    child.kill("SIGKILL")
    resolve(ok)
  }
  const watch = (ms: number) => setTimeout(() => end(false, hangs(what)), ms)
  let limit = watch(startMs)
  const hear = (word: Word): void => {
    isHeard = true
    clearTimeout(limit)
    limit = watch(silenceMs)
    if (word.say === "begin") what = word.what
    else if (word.say === "line") write(word.text)
    else if (word.say === "done") end(word.ok)
  }
  createInterface({ input: child.stdout }).on("line", (line) => {
    if (isTold) return
    if (line.startsWith(`${mark}:`)) hear(JSON.parse(line.slice(mark.length + 1)))
    else if (line !== "") print(`${line}\n`)
  })
  child.once("error", (error) => {
    isTold = true
    clearTimeout(limit)
    reject(error)
  })
  // `close` and not `exit`: what it has told is read by then
  child.once("close", (code, name) => {
    const how = name ?? `exit code ${code}`
    if (isHeard) return end(false, leaves(what, how))
    clearTimeout(limit)
    reject(new AppError("Internal", { detail: `The process of the check could not be started (${how}).` }))
  })
  return promise
}
