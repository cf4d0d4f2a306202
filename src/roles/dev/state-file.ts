import { constants } from "node:fs"
import { mkdir, open, readFile, rename, rm, stat } from "node:fs/promises"
import { dirname, join } from "node:path"
import type { Kept } from "../../adapters/memory/cluster.ts"
import type { KubeObject } from "../../api/kinds/kind.ts"
import { secretKind } from "../../api/kinds/kubernetes.ts"
import { mcpTargetKind } from "../../api/kinds/mcp-target.ts"
import { isTree } from "../../config/layer.ts"
import { AppError, isAppError } from "../../errors.ts"

/** The code of an error of the system, e.g. `ENOENT`; empty if it has none. */
export const codeOf = (error: unknown): string => (error instanceof Error && "code" in error ? String(error.code) : "")

/** Makes the folder if it is not there, for its owner alone. */
export const makePrivateFolder = async (folder: string): Promise<void> => {
  await mkdir(folder, { recursive: true, mode: 0o700 })
}

/** True if users besides the owner may change what is in the folder (or the file). */
export const othersMayWrite = async (path: string): Promise<boolean> => ((await stat(path)).mode & 0o022) !== 0

/** True if the folder (or the file) belongs to another user than the one this process runs as, who may change it at will. */
export const isOthers = async (path: string): Promise<boolean> => {
  const own = process.geteuid?.()
  return own !== undefined && (await stat(path)).uid !== own
}

/** A file that was not there, and no link: whoever left something under its name cannot say where is written. */
const newFile = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW

/** Tells the disk of a new name in a folder. Some file systems cannot; they keep it in their own way. */
const syncFolder = async (folder: string): Promise<void> => {
  try {
    const handle = await open(folder, "r")
    await handle.sync().finally(() => handle.close())
  } catch {
    // the file itself is written
  }
}

/**
 * Writes a file that only its owner can read, whole or not at all: a crash leaves the file as it was before, or as it
 * is after. Two must not write one file at the same time.
 */
export const writePrivately = async (file: string, text: string): Promise<void> => {
  const draft = `${file}.draft`
  // a crash may have left one
  await rm(draft, { force: true })
  const handle = await open(draft, newFile, 0o600)
  try {
    // the umask may have taken something away
    await handle.chmod(0o600)
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(draft, file)
  await syncFolder(dirname(file))
}

/** An object that outlives the process. */
export type StateRecord = Kept & {
  /** Digest of the document that it was loaded from; absent for what was made by the REST API. */
  readonly document?: string
}

/** A document whose object was deleted: it is not loaded again as long as it stays the same. */
export type Deleted = { readonly kind: string; readonly name: string; readonly document: string }

/** What the role dev remembers from one start to the next. */
export type DevState = {
  /** What is in the cluster. */
  readonly objects: readonly StateRecord[]
  /** What waits: for the file that it came from, its target, its namespace, or a version of the program that takes it. */
  readonly aside: readonly StateRecord[]
  readonly deleted: readonly Deleted[]
}

/** What a first start finds. */
export const emptyState: DevState = { objects: [], aside: [], deleted: [] }

const format = 1

/** The file of targets and values, in `dev.state_dir`. */
export const stateFile = (stateDir: string): string => join(stateDir, "dev-state.json")

const kinds = [mcpTargetKind, secretKind]

const isObject = (value: unknown): value is KubeObject => {
  if (!isTree(value) || !isTree(value.metadata)) return false
  const { name, namespace, uid } = value.metadata
  return (
    kinds.some(({ apiVersion, kind }) => value.apiVersion === apiVersion && value.kind === kind) &&
    [name, namespace, uid].every((each) => typeof each === "string" && each !== "")
  )
}

const isText = (value: unknown): value is string => typeof value === "string"
const isPath = (value: unknown): boolean => Array.isArray(value) && value.every(isText)
const isManagers = (value: unknown): boolean =>
  isTree(value) && Object.values(value).every((paths) => Array.isArray(paths) && paths.every(isPath))

const isRecord = (value: unknown): value is StateRecord =>
  isTree(value) &&
  isObject(value.object) &&
  (value.managers === undefined || isManagers(value.managers)) &&
  (value.document === undefined || isText(value.document))

const isDeleted = (value: unknown): value is Deleted =>
  isTree(value) && [value.kind, value.name, value.document].every(isText)

const isListOf = <T>(value: unknown, is: (each: unknown) => each is T): value is readonly T[] =>
  Array.isArray(value) && value.every(is)

/** The state in a file's text; a text if it is none: what is wrong with it. */
const parseState = (text: string): DevState | string => {
  let read: unknown
  try {
    read = JSON.parse(text)
  } catch {
    return "is damaged: it is not JSON"
  }
  if (!isTree(read) || typeof read.format !== "number") return "is damaged: it does not say its format"
  if (read.format !== format)
    return `was written by another version of the program: its format is ${read.format}, this version's is ${format}`
  const { objects, aside, deleted } = read
  if (isListOf(objects, isRecord) && isListOf(aside, isRecord) && isListOf(deleted, isDeleted))
    return { objects, aside, deleted }
  return "is damaged: something in it is no target, no Secret and no note of a deleted one"
}

/** The text that {@link parseState} reads. */
export const stateText = (state: DevState): string => `${JSON.stringify({ format, ...state }, null, 1)}\n`

const invalid = (file: string, what: string, cause?: unknown): AppError =>
  new AppError("StateInvalid", { detail: `The targets and values that were kept, ${file}: the file ${what}.`, cause })

/** What was kept in a state folder; nothing at a first start. Throws `StateInvalid` with what to do: the file stays. */
export const readState = async (stateDir: string): Promise<DevState> => {
  const file = stateFile(stateDir)
  try {
    const { mode } = await stat(file)
    if ((mode & 0o077) !== 0) throw invalid(file, `can be read by other users: run chmod 600 ${file}`)
    const state = parseState(await readFile(file, "utf8"))
    if (typeof state === "string") throw invalid(file, state)
    return state
  } catch (error) {
    if (codeOf(error) === "ENOENT") return emptyState
    if (isAppError(error)) throw error
    throw invalid(file, `cannot be read (${codeOf(error)})`, error)
  }
}

/** Replaces what is kept in a state folder. */
export const writeState = (stateDir: string, text: string): Promise<void> => writePrivately(stateFile(stateDir), text)

/** Forgets what is kept in a state folder. */
export const forgetState = async (stateDir: string): Promise<void> => {
  await rm(stateFile(stateDir), { force: true })
  await rm(`${stateFile(stateDir)}.draft`, { force: true })
}
