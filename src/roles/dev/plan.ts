import type { Secret } from "../../api/kinds/kubernetes.ts"
import type { MCPTarget } from "../../api/kinds/mcp-target.ts"
import type { Manifest } from "./manifests.ts"
import type { Deleted, DevState, StateRecord } from "./state-file.ts"

/** An object (MCPTarget or Secret) from a file of targets. */
export type TargetDocument = {
  readonly manifest: Manifest
  readonly object: MCPTarget | Secret
  /** Digest of the document's values: it changes with every change of them. */
  readonly digest: string
}

/** A record to restore, with its document if it was loaded from one. */
export type Restore = { readonly record: StateRecord; readonly document?: TargetDocument }

/**
 * What to log of a document: why it is not loaded (`deleted`, `registered`), or that it replaces changes (`replaces`).
 */
export type Notice = {
  readonly what: "deleted" | "registered" | "replaces"
  readonly kind: string
  readonly name: string
}

/** What a start does with the kept state and the documents. */
type Plan = {
  /** Records to restore, owners before the objects that they own. */
  readonly restore: readonly Restore[]
  /** Documents whose objects are created. */
  readonly create: readonly TargetDocument[]
  /** Records that are not restored but stay in the state, see {@link DevState.aside}. */
  readonly aside: readonly StateRecord[]
  readonly deleted: readonly Deleted[]
  readonly notices: readonly Notice[]
}

/** Field manager of the objects that are created from documents. */
const loader = "Update reflow"

type Named = { readonly kind: string; readonly metadata: { readonly name: string } }

const keyOf = ({ kind, metadata }: Named): string => `${kind} ${metadata.name}`
const uidOf = ({ object }: StateRecord): string => object.metadata.uid ?? ""
const ownersOf = ({ object }: StateRecord): readonly string[] =>
  (object.metadata.ownerReferences ?? []).map(({ uid }) => uid)

/** True if the REST API has changed an object that was loaded from a document. */
export const isTouched = ({ managers = {} }: Pick<StateRecord, "managers">): boolean =>
  Object.entries(managers).some(([manager, paths]) => manager !== loader && paths.length > 0)

/** The changed document's content, with the UID and creation time of the object that was loaded from it before. */
const changedRecord = ({ object }: StateRecord, document: TargetDocument): StateRecord => {
  const { uid, creationTimestamp, generation } = object.metadata
  const next = generation === undefined ? {} : { generation: generation + 1 }
  const kept = { uid, ...(creationTimestamp === undefined ? {} : { creationTimestamp }), ...next }
  const metadata = { ...document.object.metadata, ...kept } as StateRecord["object"]["metadata"]
  return { object: { ...document.object, metadata }, document: document.digest }
}

type Known = {
  /** Objects created by the REST API, by {@link keyOf}. */
  readonly registered: ReadonlyMap<string, StateRecord>
  /** Objects loaded from documents, by {@link keyOf}; {@link decisionOf} removes each that it uses. */
  readonly loaded: Map<string, StateRecord>
  readonly deleted: ReadonlyMap<string, Deleted>
}

type DocumentDecision = {
  readonly restore?: Restore
  readonly create?: TargetDocument
  readonly notice?: Notice["what"]
}

/**
 * Decides about one document. It is loaded once, and again when it has changed; until then changes by the REST API
 * stay.
 */
const decisionOf = (document: TargetDocument, { registered, loaded, deleted }: Known): DocumentDecision => {
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

/** True if the record has owners, and none of them is among the UIDs `live`. */
const lacksOwner = (record: StateRecord, live: ReadonlySet<string>): boolean =>
  ownersOf(record).length > 0 && !ownersOf(record).some((uid) => live.has(uid))

/**
 * Plans a start. Pure. Objects created by the REST API are restored. Objects of documents that are given again are
 * restored with their changes, unless the document has changed. Deleted objects stay deleted. A record that cannot be
 * restored now is set aside if it holds something that a user made.
 */
export const planStart = (state: DevState, documents: readonly TargetDocument[], namespace: string): Plan => {
  const all = [...state.objects, ...state.aside]
  const here = all.filter(({ object }) => object.metadata.namespace === namespace)
  const made = here.filter(({ document }) => document === undefined)
  const from = here.filter(({ document }) => document !== undefined)
  const [registered, loaded] = [byKey(made, (each) => keyOf(each.object)), byKey(from, (each) => keyOf(each.object))]
  const deleted = byKey(state.deleted, ({ kind, name }) => `${kind} ${name}`)
  const decisions = documents.map((document) => ({
    document,
    decision: decisionOf(document, { registered, loaded, deleted }),
  }))
  const restored = decisions.flatMap(({ decision }) => (decision.restore === undefined ? [] : [decision.restore]))
  const back = new Set(
    decisions.flatMap(({ document, decision }) =>
      (decision.restore ?? decision.create) === undefined ? [] : [keyOf(document.object)],
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
    create: decisions.flatMap(({ decision }) => (decision.create === undefined ? [] : [decision.create])),
    // an object whose owner no longer exists was to be deleted together with the owner
    aside: aside.filter((record) => !lacksOwner(record, asideUids)),
    deleted: state.deleted.filter(({ kind, name }) => !back.has(`${kind} ${name}`)),
    notices: decisions.flatMap(({ document: { object }, decision: { notice } }) =>
      notice === undefined ? [] : [{ what: notice, kind: object.kind, name: object.metadata.name }],
    ),
  }
}
