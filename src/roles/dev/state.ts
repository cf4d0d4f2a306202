import type { MemoryCluster } from "../../adapters/memory/cluster.ts"
import type { KubeObject } from "../../api/kinds/kind.ts"
import { secretKind } from "../../api/kinds/kubernetes.ts"
import { mcpTargetKind } from "../../api/kinds/mcp-target.ts"
import { labels } from "../../api/names.ts"
import { AppError, isAppError } from "../../errors.ts"
import type { ClusterPort } from "../../ports/cluster.ts"
import type { Beginning, Begun } from "./begin.ts"
import { lockState } from "./lock.ts"
import { isTouched } from "./plan.ts"
import {
  type DevState,
  emptyState,
  forgetState,
  isOthers,
  makePrivateFolder,
  othersMayWrite,
  readState,
  type StateRecord,
  stateFile,
  stateText,
  writeState,
} from "./state-file.ts"

/** Options of {@link createSaver}. */
type SaverInput = {
  /** Returns the whole current state as text. */
  readonly text: () => string
  /** Writes the whole state. There is never more than one call at a time. */
  readonly write: (text: string) => Promise<void>
  /** Gets the error of a failed write. The next change writes again. */
  readonly onError: (error: unknown) => void
}

/** Writes a text after changes: one write at a time, always the newest text, and no write if the text is unchanged. */
export type Saver = {
  /** Call after every possible change; starts a write. */
  touch(): void
  /** Resolves when the changes before this call have been written, or the write has failed. Never rejects. */
  settled(): Promise<void>
}

/** Creates a saver. It writes nothing before the first {@link Saver.touch}. */
export const createSaver = ({ text, write, onError }: SaverInput): Saver => {
  let written: string | undefined
  let touched = false
  let running: Promise<void> | undefined

  const once = async (): Promise<void> => {
    touched = false
    const next = text()
    if (next === written) return
    try {
      await write(next)
      written = next
    } catch (error) {
      written = undefined
      onError(error)
    }
  }
  const work = async (): Promise<void> => {
    // changes in the same turn of the event loop become one write
    await Promise.resolve()
    while (touched) await once()
    running = undefined
  }
  return {
    touch: () => {
      touched = true
      running ??= work()
    },
    settled: () => running ?? Promise.resolve(),
  }
}

/** A state folder that this process has locked. */
type DevStateFolder = {
  /** The state when the folder was opened. */
  readonly state: DevState
  /** Unlocks the folder. */
  close(): Promise<void>
}

const unusable = (stateDir: string, why: string, cause?: unknown): AppError =>
  new AppError("StateInvalid", { detail: `The state folder ${stateDir} ${why}.`, cause })

const prepareFolder = async (stateDir: string): Promise<void> => {
  try {
    await makePrivateFolder(stateDir)
    // targets contain commands: a user who can write targets can run any program as this user
    if (await isOthers(stateDir))
      throw unusable(stateDir, "belongs to another user: name one of your own with --set dev.state_dir=FOLDER")
    if (await othersMayWrite(stateDir))
      throw unusable(stateDir, `can be written by other users: run chmod go-w ${stateDir}`)
  } catch (error) {
    if (isAppError(error)) throw error
    throw unusable(stateDir, "cannot be used: name another one with --set dev.state_dir=FOLDER", error)
  }
}

/**
 * Creates the state folder if it does not exist, locks it and reads the state; with `fresh` deletes the state instead.
 * Throws `StateInUse` and `StateInvalid`.
 */
export const openStateFolder = async (stateDir: string, fresh: boolean): Promise<DevStateFolder> => {
  await prepareFolder(stateDir)
  const close = await lockState(stateDir)
  try {
    if (fresh) await forgetState(stateDir)
    return { state: fresh ? emptyState : await readState(stateDir), close }
  } catch (error) {
    await close()
    throw error
  }
}

type Origins = Begun["origins"]

const uidOf = ({ metadata }: KubeObject): string => metadata.uid ?? ""

const documentOf = (origins: Origins, object: KubeObject): string | undefined =>
  origins.get(uidOf(object))?.document.digest

/** True for targets, Secrets of credential scopes and objects of documents; false for the objects of instances. */
const isKept = (object: KubeObject, origins: Origins): boolean =>
  object.kind === mcpTargetKind.kind ||
  (object.kind === secretKind.kind &&
    (object.metadata.labels?.[labels.scope] !== undefined || documentOf(origins, object) !== undefined))

/** The state of a cluster, as it is written to the file. */
const stateOf = (cluster: MemoryCluster, namespace: string, { origins, aside, deleted }: Begun): DevState => {
  const all = [...cluster.keep(mcpTargetKind, namespace), ...cluster.keep(secretKind, namespace)]
  const live = all.filter(({ object }) => object.metadata.deletionTimestamp === undefined && isKept(object, origins))
  const records = live.map((kept): StateRecord => {
    const document = documentOf(origins, kept.object)
    return document === undefined ? kept : { ...kept, document }
  })
  const uids = new Set(records.map(({ object }) => uidOf(object)))
  const gone = [...origins.values()].filter(({ uid }) => !uids.has(uid))
  return {
    // a Secret that has only the content of its document is loaded from the document again
    objects: records.filter(
      (each) => each.document === undefined || each.object.kind !== secretKind.kind || isTouched(each),
    ),
    aside,
    deleted: [
      ...deleted,
      ...gone.map(({ document: { object, digest } }) => ({
        kind: object.kind,
        name: object.metadata.name,
        document: digest,
      })),
    ],
  }
}

/** Saves targets and values to `stateDir` after each change in the cluster, from now on. A failed write is logged. */
export const keepChanges = (
  { cluster, namespace, log }: Pick<Beginning, "cluster" | "namespace" | "log">,
  begun: Begun,
  stateDir: string,
): Saver => {
  const saver = createSaver({
    text: () => stateText(stateOf(cluster, namespace, begun)),
    write: (text) => writeState(stateDir, text),
    onError: (error) =>
      log.error("targets and values could not be kept: a restart forgets what changed", {
        file: stateFile(stateDir),
        error,
      }),
  })
  cluster.onWrite((object) => {
    if (object.metadata.namespace === namespace && isKept(object, begun.origins)) saver.touch()
  })
  saver.touch()
  return saver
}

/** Wraps a cluster so that each write resolves only after the state was saved (or the save has failed). */
export const answerOnceKept = (cluster: ClusterPort, { settled }: Pick<Saver, "settled">): ClusterPort => {
  const kept = async <T>(write: Promise<T>): Promise<T> => {
    const answer = await write
    await settled()
    return answer
  }
  return {
    ...cluster,
    create: (kind, object, options) => kept(cluster.create(kind, object, options)),
    apply: (kind, object, options) => kept(cluster.apply(kind, object, options)),
    mergePatch: (kind, ref, patch, options) => kept(cluster.mergePatch(kind, ref, patch, options)),
    mergePatchSpec: (kind, read, spec, options) => kept(cluster.mergePatchSpec(kind, read, spec, options)),
    replace: (kind, object, options) => kept(cluster.replace(kind, object, options)),
    delete: (kind, ref, options) => kept(cluster.delete(kind, ref, options)),
  }
}
