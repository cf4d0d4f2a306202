import type { Kind, KubeObject } from "../api/kinds/kind.ts"

/** Silence after which a watch is no longer believed, milliseconds: the API server sends a bookmark every 60 s. */
export const watchSilenceMs = 75_000

/** Names one namespaced object. */
export type ObjectRef = { readonly namespace: string; readonly name: string }

/** How long a call may take: its signal, besides the adapter's own deadline (10 s). */
export type CallOptions = { readonly signal?: AbortSignal }

/** Which objects of a kind: one namespace, and selectors in kubectl's syntax, limited to `key=value` joined by commas. */
export type Selection = {
  readonly namespace: string
  /** e.g. `mcp.reflow.io/target=github`. */
  readonly labelSelector?: string
  /** e.g. `spec.targetName=github`; only metadata.name and the kind's selectable fields. */
  readonly fieldSelector?: string
}

/** A page of a list. */
export type ListPage<T> = {
  readonly items: readonly T[]
  /** The version the list reflects; a watch may start from it. */
  readonly resourceVersion: string
  /** Token for the next page; absent on the last one. A token that is too old throws `ApiGone`. */
  readonly continue?: string
}

/** What happened to an object of a reflection. A delete + create under one name arrives as two changes. */
export type Change<T> = {
  readonly type: "added" | "modified" | "deleted"
  /** The new state; for `deleted` the last one known. */
  readonly object: T
  /** The state before; absent for `added`. */
  readonly previous?: T
}

/**
 * A local copy of a selection that follows the cluster: a list, then a watch, healed by itself after any fault.
 * Objects in it are frozen and shared; `metadata.managedFields` is dropped.
 */
export type Reflection<T> = {
  /** Resolves when the first list is in; rejects only when the reflection is closed before that. */
  readonly synced: Promise<void>
  /** True once the first list is in. */
  hasSynced(): boolean
  get(name: string): T | undefined
  /** All objects, in no particular order. */
  items(): Iterable<T>
  readonly size: number
  /** Milliseconds since the API server was last heard (list, event or bookmark). */
  silenceMs(): number
  /** Calls `listener` for each change, in order, synchronously, after the copy has it. Listeners must not throw. */
  subscribe(listener: (change: Change<T>) => void): () => void
  close(): Promise<void>
}

/** A state of an object that breaks its kind's schema, e.g. written past an older CRD. */
export type InvalidObject = {
  /** As the API server sent it; frozen. Nothing but apiVersion, kind and metadata may be relied on. */
  readonly object: KubeObject
  /** Which field, and why. */
  readonly problem: string
}

/** How a reflection treats what it follows. */
export type WatchOptions = {
  /** Told of each state that breaks the schema. The reflection skips it: it keeps the last valid state, or none. */
  readonly onInvalid?: (invalid: InvalidObject) => void
}

/** What must still be true of the object for a delete to happen (Kubernetes DeleteOptions.preconditions). */
type Preconditions = { readonly uid?: string; readonly resourceVersion?: string }

/**
 * Fields as the API server notes them (FieldsV1): `f:name` for a field; an empty set means the whole value. Keys of other
 * forms name entries of a list.
 */
export type FieldSet = { readonly [key: string]: FieldSet }

/** Who wrote which fields last: `kubectl-client-side-apply`, `helm`, the name of a controller. */
export type FieldManager = { readonly name: string; readonly fields: FieldSet }

/** An object, and the managers of its fields besides this client; the status subresource's are left out. */
export type Managed<T> = { readonly object: T; readonly others: readonly FieldManager[] }

/** Options of a delete. Owned objects go too, in the background. */
export type DeleteOptions = CallOptions & {
  readonly preconditions?: Preconditions
  /** Seconds a Pod gets to end; 0 = at once. */
  readonly gracePeriodSeconds?: number
}

/** RFC 7396 merge patch of an object: null removes. `metadata.resourceVersion` and `.uid` in it are preconditions. */
export type MergePatch = { readonly [key: string]: unknown }

/** An Event about an object, as `kubectl describe` shows it. Equal ones within minutes are counted, not repeated. */
export type EventInput = {
  readonly regarding: { readonly apiVersion: string; readonly kind: string; readonly metadata: KubeObject["metadata"] }
  readonly type: "Normal" | "Warning"
  /** CamelCase, from the code table or a condition's reason. */
  readonly reason: string
  readonly note: string
}

/** Which part of a container's log. */
export type LogQuery = {
  readonly tailLines?: number
  readonly limitBytes?: number
  /** The log of the container's life before its last restart. */
  readonly previous?: boolean
}

/** Which part of a container's log, in pieces. */
export type LogStreamQuery = LogQuery & {
  /** True: goes on with what the container writes, until its life ends. Default false: ends with what there is. */
  readonly follow?: boolean
}

/**
 * The cluster, as narrow as we need it. Errors are AppErrors: `ApiNotFound` (not from get or delete), `ApiConflict`
 * (stale resourceVersion or failed precondition), `ApiAlreadyExists`, `ApiInvalid`, `ApiForbidden`, `QuotaExceeded`,
 * `ApiGone`, `ApiTooManyRequests`, `ClusterUnavailable`. Returned objects are frozen.
 */
export type ClusterPort = {
  /** The object as the API server has it now, or undefined. */
  get<T extends KubeObject>(kind: Kind<T>, ref: ObjectRef, options?: CallOptions): Promise<T | undefined>
  /** {@link get}, with who else manages which field at that version. */
  getManaged<T extends KubeObject>(
    kind: Kind<T>,
    ref: ObjectRef,
    options?: CallOptions,
  ): Promise<Managed<T> | undefined>
  list<T extends KubeObject>(
    kind: Kind<T>,
    selection: Selection & { readonly limit?: number; readonly continue?: string },
    options?: CallOptions,
  ): Promise<ListPage<T>>
  /** Starts to follow a selection. Close what you start. */
  watch<T extends KubeObject>(kind: Kind<T>, selection: Selection, options?: WatchOptions): Reflection<T>
  /** Creates; status is ignored for kinds with a status subresource. */
  create<T extends KubeObject>(kind: Kind<T>, object: T, options?: CallOptions): Promise<T>
  /** Server-side apply with this adapter's field manager: creates, or sets exactly the given fields and drops own ones not given. */
  apply<T extends KubeObject>(kind: Kind<T>, object: T, options?: CallOptions): Promise<T>
  mergePatch<T extends KubeObject>(kind: Kind<T>, ref: ObjectRef, patch: MergePatch, options?: CallOptions): Promise<T>
  /**
   * Merge patch of the spec of an object as it was read: takes effect only while that has the same uid and generation, so
   * that writes of its status meanwhile are no conflict. Throws `ApiConflict` if it is another or has another spec by now.
   */
  mergePatchSpec<T extends KubeObject>(kind: Kind<T>, read: T, spec: MergePatch, options?: CallOptions): Promise<T>
  /**
   * Merge patch of the status subresource: only `status` takes effect. `metadata.resourceVersion` is a precondition; a
   * `metadata.uid` that is another object's throws `ApiConflict` too, but that object may have been written by then,
   * since the API server does not heed it: who needs more names the version.
   */
  patchStatus<T extends KubeObject>(kind: Kind<T>, ref: ObjectRef, patch: MergePatch, options?: CallOptions): Promise<T>
  /** Update guarded by the object's own resourceVersion (leases). */
  replace<T extends KubeObject>(kind: Kind<T>, object: T, options?: CallOptions): Promise<T>
  /** Deletes; `absent` if there was nothing (left) to delete, including another uid than the precondition's. */
  delete<T extends KubeObject>(kind: Kind<T>, ref: ObjectRef, options?: DeleteOptions): Promise<"deleted" | "absent">
  recordEvent(event: EventInput, options?: CallOptions): Promise<void>
  /** The log of a Pod's container `mcp`, oldest line first; for small parts of it, since it is held as a whole. */
  podLogs(ref: ObjectRef, query: LogQuery, options?: CallOptions): Promise<string>
  /**
   * The same log in pieces of whole characters, read as fast as they are taken. Who follows it too slowly may miss lines.
   */
  streamLogs(ref: ObjectRef, query: LogStreamQuery, options?: CallOptions): AsyncIterable<string>
  /** Ends every reflection and connection. */
  close(): Promise<void>
}
