import { readFile, rm, stat } from "node:fs/promises"
import { join } from "node:path"
import type { Kept } from "../adapters/memory/kept.ts"
import type { KubeObject } from "../api/kind.ts"
import { mcpTargetKind } from "../api/mcp-target.ts"
import { secretKind } from "../api/secret.ts"
import { isTree } from "../config/layer.ts"
import { AppError, isAppError } from "../errors.ts"
import { codeOf, writePrivately } from "./private-file.ts"

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
export const parseState = (text: string): DevState | string => {
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
