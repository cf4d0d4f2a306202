import { constants } from "node:fs"
import { mkdir, open, readFile, rename, rm, stat } from "node:fs/promises"
import { dirname, join } from "node:path"
import type { Kept } from "../../adapters/memory/cluster.ts"
import type { KubeObject } from "../../api/kinds/kind.ts"
import { secretKind } from "../../api/kinds/kubernetes.ts"
import { mcpTargetKind } from "../../api/kinds/mcp-target.ts"
import { isTree } from "../../config/layer.ts"
import { AppError, isAppError, systemCode } from "../../errors.ts"

/** Creates the folder if it does not exist, with mode 0700. */
export const makePrivateFolder = async (folder: string): Promise<void> => {
  await mkdir(folder, { recursive: true, mode: 0o700 })
}

/** True if group or others may write to the folder (or the file). */
export const othersMayWrite = async (path: string): Promise<boolean> => ((await stat(path)).mode & 0o022) !== 0

/** True if the folder (or the file) belongs to another user than the one this process runs as. */
export const isOthers = async (path: string): Promise<boolean> => {
  const own = process.geteuid?.()
  return own !== undefined && (await stat(path)).uid !== own
}

/**
 * Flags to create a new file only, and to follow no link: a file or link that another user left is never written to.
 */
const newFile = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW

/**
 * Calls fsync on a folder, so that a new name in it survives a crash. Errors are ignored: some file systems refuse it.
 */
const syncFolder = async (folder: string): Promise<void> => {
  try {
    const handle = await open(folder, "r")
    await handle.sync().finally(() => handle.close())
  } catch {
    // the content of the file has been synced before
  }
}

/**
 * Writes a file with mode 0600, atomically: after a crash the file has the old or the new content. Two writers must not
 * write the same file at the same time.
 */
export const writePrivately = async (file: string, text: string): Promise<void> => {
  const draft = `${file}.draft`
  // a crash may have left a draft
  await rm(draft, { force: true })
  const handle = await open(draft, newFile, 0o600)
  try {
    // the umask may have removed bits of the mode
    await handle.chmod(0o600)
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(draft, file)
  await syncFolder(dirname(file))
}

/** An object that is kept from one run to the next. */
export type StateRecord = Kept & {
  /** Digest of the document that it was loaded from; absent for objects created by the REST API. */
  readonly document?: string
}

/** A document whose object was deleted: it is not loaded again as long as it stays the same. */
export type Deleted = { readonly kind: string; readonly name: string; readonly document: string }

/** The state that the role dev keeps from one run to the next. */
export type DevState = {
  /** Targets and Secrets that are in the cluster. */
  readonly objects: readonly StateRecord[]
  /**
   * Records that are not in the cluster now: their file, target or namespace is missing in this run, or this version of
   * the program refuses them. They are tried again at each start.
   */
  readonly aside: readonly StateRecord[]
  readonly deleted: readonly Deleted[]
}

/** The state of a first start. */
export const emptyState: DevState = { objects: [], aside: [], deleted: [] }

const format = 1

/** Path of the file with the state, in `dev.state_dir`. */
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

/** Parses a file's text. Returns a message (the end of a sentence about the file) if the text is no valid state. */
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
  return "is damaged: it has an entry that is not a target, a Secret or a record of a deleted one"
}

/** The state as JSON text, which {@link parseState} reads. */
export const stateText = (state: DevState): string => `${JSON.stringify({ format, ...state }, null, 1)}\n`

const invalid = (file: string, what: string, cause?: unknown): AppError =>
  new AppError("StateInvalid", { detail: `The file of kept targets and values, ${file}, ${what}.`, cause })

/** Reads the state of a state folder; empty at a first start. Throws `StateInvalid`, and leaves the file unchanged. */
export const readState = async (stateDir: string): Promise<DevState> => {
  const file = stateFile(stateDir)
  try {
    const { mode } = await stat(file)
    if ((mode & 0o077) !== 0) throw invalid(file, `can be read by other users: run chmod 600 ${file}`)
    const state = parseState(await readFile(file, "utf8"))
    if (typeof state === "string") throw invalid(file, state)
    return state
  } catch (error) {
    if (systemCode(error) === "ENOENT") return emptyState
    if (isAppError(error)) throw error
    throw invalid(file, `cannot be read (${systemCode(error)})`, error)
  }
}

/** Replaces the state in a state folder, atomically. `text` comes from {@link stateText}. */
export const writeState = (stateDir: string, text: string): Promise<void> => writePrivately(stateFile(stateDir), text)

/** Deletes the state in a state folder. */
export const forgetState = async (stateDir: string): Promise<void> => {
  await rm(stateFile(stateDir), { force: true })
  await rm(`${stateFile(stateDir)}.draft`, { force: true })
}
