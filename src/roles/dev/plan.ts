import type { Secret } from "../../api/kinds/kubernetes.ts"
import type { MCPTarget } from "../../api/kinds/mcp-target.ts"
import type { Manifest } from "./manifests.ts"
import type { Deleted, DevState, StateRecord } from "./state-file.ts"

/** An object as a file of targets has it. */
export type TargetDocument = {
  readonly manifest: Manifest
  readonly object: MCPTarget | Secret
  /** Digest of what the file says: another one as soon as a word of it changes. */
  readonly digest: string
}

/** A record to restore; with its document if it came from one. */
export type Restore = { readonly record: StateRecord; readonly document?: TargetDocument }

/** What somebody should know of a document: why it is not loaded, or what it replaces. */
export type Notice = {
  readonly what: "deleted" | "registered" | "replaces"
  readonly kind: string
  readonly name: string
}

/** What a start does with what was kept and with the documents that it is given. */
type Plan = {
  /** Owners before what they own. */
  readonly restore: readonly Restore[]
  readonly create: readonly TargetDocument[]
  readonly aside: readonly StateRecord[]
  readonly deleted: readonly Deleted[]
  readonly notices: readonly Notice[]
}

/** Who writes what comes from files. */
const loader = "Update reflow"

type Named = { readonly kind: string; readonly metadata: { readonly name: string } }

const keyOf = ({ kind, metadata }: Named): string => `${kind} ${metadata.name}`
const uidOf = ({ object }: StateRecord): string => object.metadata.uid ?? ""
const ownersOf = ({ object }: StateRecord): readonly string[] =>
  (object.metadata.ownerReferences ?? []).map(({ uid }) => uid)

/** True if somebody has changed by the REST API what had come from a file. */
export const isTouched = ({ managers = {} }: Pick<StateRecord, "managers">): boolean =>
  Object.entries(managers).some(([manager, paths]) => manager !== loader && paths.length > 0)

/** The document's content under the identity of the object that it was loaded as before. */
const changedRecord = ({ object }: StateRecord, document: TargetDocument): StateRecord => {
  const { uid, creationTimestamp, generation } = object.metadata
  const next = generation === undefined ? {} : { generation: generation + 1 }
  const kept = { uid, ...(creationTimestamp === undefined ? {} : { creationTimestamp }), ...next }
  const metadata = { ...document.object.metadata, ...kept } as StateRecord["object"]["metadata"]
  return { object: { ...document.object, metadata }, document: document.digest }
}

type Known = {
  /** By key: what the REST API made. */
  readonly registered: ReadonlyMap<string, StateRecord>
  /** By key: what came from documents; those that were found are taken out. */
  readonly loaded: Map<string, StateRecord>
  readonly deleted: ReadonlyMap<string, Deleted>
}

type Fate = { readonly restore?: Restore; readonly create?: TargetDocument; readonly notice?: Notice["what"] }

/** What becomes of one document: each is loaded once, and again when it has changed; in between the REST API rules. */
const fateOf = (document: TargetDocument, { registered, loaded, deleted }: Known): Fate => {
  const key = keyOf(document.object)
  const isDeleted = deleted.get(key)?.document === document.digest
  if (registered.has(key)) return isDeleted ? {} : { notice: "registered" }
  const record = loaded.get(key)
  loaded.delete(key)
  if (record?.document === document.digest) return { restore: { record, document } }
  if (isDeleted) return { notice: "deleted" }
  if (record === undefined) return { create: document }
  const changed: Restore = { record: changedRecord(record, document), document }
  return isTouched(record) ? { restore: changed, notice: "replaces" } : { restore: changed }
}

const byKey = <T>(items: readonly T[], key: (item: T) => string): Map<string, T> =>
  new Map(items.toReversed().map((item) => [key(item), item]))

const isTarget = ({ object }: StateRecord): boolean => object.kind === "MCPTarget"

/** True if the record has lost its owners: then only those that wait can be it. */
const lacksOwner = (record: StateRecord, live: ReadonlySet<string>): boolean =>
  ownersOf(record).length > 0 && !ownersOf(record).some((uid) => live.has(uid))

/**
 * What a start does: what the REST API made comes back; what came from documents comes back while they are given, as it
 * was left, unless the document has changed; what was deleted stays so. What has no place waits aside, if a user made it.
 */
export const planStart = (state: DevState, documents: readonly TargetDocument[], namespace: string): Plan => {
  const all = [...state.objects, ...state.aside]
  const here = all.filter(({ object }) => object.metadata.namespace === namespace)
  const made = here.filter(({ document }) => document === undefined)
  const from = here.filter(({ document }) => document !== undefined)
  const [registered, loaded] = [byKey(made, (each) => keyOf(each.object)), byKey(from, (each) => keyOf(each.object))]
  const deleted = byKey(state.deleted, ({ kind, name }) => `${kind} ${name}`)
  const fates = documents.map((document) => ({ document, fate: fateOf(document, { registered, loaded, deleted }) }))
  const restored = fates.flatMap(({ fate }) => (fate.restore === undefined ? [] : [fate.restore]))
  const back = new Set(
    fates.flatMap(({ document, fate }) =>
      (fate.restore ?? fate.create) === undefined ? [] : [keyOf(document.object)],
    ),
  )
  const candidates = [...made.map((record): Restore => ({ record })), ...restored]
  const targets = candidates.filter(({ record }) => isTarget(record))
  const live = new Set(targets.map(({ record }) => uidOf(record)))
  const secrets = candidates.filter(({ record }) => !isTarget(record) && !lacksOwner(record, live))
  const taken = new Set([...targets, ...secrets].map(({ record }) => uidOf(record)))
  const owners = new Set(all.filter(({ document }) => document === undefined).flatMap(ownersOf))
  const waits = (record: StateRecord) =>
    !taken.has(uidOf(record)) && (record.document === undefined || isTouched(record) || owners.has(uidOf(record)))
  const aside = all.filter(waits)
  const asideUids = new Set(aside.map(uidOf))
  return {
    restore: [...targets, ...secrets],
    create: fates.flatMap(({ fate }) => (fate.create === undefined ? [] : [fate.create])),
    // what has no owner any more was to be deleted with it
    aside: aside.filter((record) => !lacksOwner(record, asideUids)),
    deleted: state.deleted.filter(({ kind, name }) => !back.has(`${kind} ${name}`)),
    notices: fates.flatMap(({ document: { object }, fate: { notice } }) =>
      notice === undefined ? [] : [{ what: notice, kind: object.kind, name: object.metadata.name }],
    ),
  }
}
