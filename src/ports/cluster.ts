import type { Kind, KubeObject } from "../api/kinds/kind.ts"
import { type AppError, hasCode } from "../errors.ts"

/**
 * A watch without any frame for this long counts as broken, milliseconds: the API server sends a bookmark every 60 s.
 */
export const watchSilenceMs = 75_000

/** Names one namespaced object. */
export type ObjectRef = { readonly namespace: string; readonly name: string }

/** The signal ends a call before the adapter's own deadline (10 s). */
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
  /** The version that the list reflects; a watch may start from it. */
  readonly resourceVersion: string
  /** Token for the next page; absent on the last one. A token that is too old throws `ApiGone`. */
  readonly continue?: string
}

/** A change of an object of a reflection. Deleting an object and creating another of its name gives two changes. */
export type Change<T> = {
  readonly type: "added" | "modified" | "deleted"
  /** The new state; for `deleted` the last known state. */
  readonly object: T
  /** The state before; absent for `added`. */
  readonly previous?: T
}

/**
 * A local copy of a selection that follows the cluster: one list, then a watch, which is reopened after any fault.
 * Objects in it are frozen and shared; `metadata.managedFields` is dropped.
 */
export type Reflection<T> = {
  /** Resolves when the first list is complete; rejects only if the reflection is closed before. */
  readonly synced: Promise<void>
  /** True once the first list is complete. */
  hasSynced(): boolean
  get(name: string): T | undefined
  /** All objects, in no particular order. */
  items(): Iterable<T>
  readonly size: number
  /** Milliseconds since the API server last sent something for this reflection (list page, event or bookmark). */
  silenceMs(): number
  /**
   * Calls `listener` for each change, in order, synchronously, after the copy has it. Listeners must not throw. The
   * returned function unsubscribes.
   */
  subscribe(listener: (change: Change<T>) => void): () => void
  close(): Promise<void>
}

/** A state of an object that violates its kind's schema, e.g. because an older CRD allowed it. */
export type InvalidObject = {
  /** As the API server sent it; frozen. Only apiVersion, kind and metadata can be relied on. */
  readonly object: KubeObject
  /** The fields that violate the schema, each with the reason. */
  readonly problem: string
}

/** Options of a reflection. */
export type WatchOptions = {
  /**
   * Called for each state that violates the schema. The reflection skips that state and keeps the last valid one, or
   * none.
   */
  readonly onInvalid?: (invalid: InvalidObject) => void
}

/** A delete happens only if the object still has this uid and version (Kubernetes DeleteOptions.preconditions). */
type Preconditions = { readonly uid?: string; readonly resourceVersion?: string }

/**
 * Fields in the API server's notation (FieldsV1): `f:name` for a field; an empty set means the whole value. Other
 * prefixes (`k:`, `v:`) name entries of a list.
 */
export type FieldSet = { readonly [key: string]: FieldSet }

/** A field manager, e.g. `kubectl-client-side-apply`, `helm` or a controller, and the fields that it wrote last. */
export type FieldManager = { readonly name: string; readonly fields: FieldSet }

/**
 * An object, and the managers of its fields other than this client; managers of the status subresource are left out.
 */
export type Managed<T> = { readonly object: T; readonly others: readonly FieldManager[] }

/** Options of a delete. Objects that the deleted object owns are deleted in the background. */
export type DeleteOptions = CallOptions & {
  readonly preconditions?: Preconditions
  /** Seconds a Pod gets to end; 0 = at once. */
  readonly gracePeriodSeconds?: number
}

/**
 * RFC 7396 merge patch of an object: null removes a field. `metadata.resourceVersion` and `.uid` in it are
 * preconditions.
 */
export type MergePatch = { readonly [key: string]: unknown }

/** An Event about an object, as `kubectl describe` shows it. An equal Event within ten minutes only raises a count. */
export type EventInput = {
  readonly regarding: { readonly apiVersion: string; readonly kind: string; readonly metadata: KubeObject["metadata"] }
  readonly type: "Normal" | "Warning"
  /** CamelCase, from the code table or a condition's reason. */
  readonly reason: string
  readonly note: string
}

/** Which part of a container's log to read. */
export type LogQuery = {
  /** Name of the container; default: the one with the MCP server. */
  readonly container?: string
  readonly tailLines?: number
  readonly limitBytes?: number
  /** True: the log of the container before its last restart. */
  readonly previous?: boolean
}

/** Which part of a container's log to read as a stream. */
export type LogStreamQuery = LogQuery & {
  /** True: new output follows until the container ends. Default false: the stream ends with the output so far. */
  readonly follow?: boolean
}

/**
 * The calls to the cluster that this program needs. Errors are AppErrors: `ApiNotFound` (not from get or delete),
 * `ApiConflict` (stale resourceVersion or failed precondition), `ApiAlreadyExists`, `ApiInvalid`, `ApiForbidden`,
 * `QuotaExceeded`, `ApiGone`, `ApiTooManyRequests`, `ClusterUnavailable`. Returned objects are frozen.
 */
export type ClusterPort = {
  /** The object as the API server has it now; undefined if there is none. */
  get<T extends KubeObject>(kind: Kind<T>, ref: ObjectRef, options?: CallOptions): Promise<T | undefined>
  /** {@link get}, with the other managers of the object's fields at the same version. */
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
  /** Starts to follow a selection. The caller must close the reflection. */
  watch<T extends KubeObject>(kind: Kind<T>, selection: Selection, options?: WatchOptions): Reflection<T>
  /**
   * Creates an object; `status` is ignored for kinds with a status subresource. `dryRun`: nothing is created; the answer
   * is the object as it would be, after defaults and admission.
   */
  create<T extends KubeObject>(
    kind: Kind<T>,
    object: T,
    options?: CallOptions & { readonly dryRun?: boolean },
  ): Promise<T>
  /**
   * Server-side apply, forced, with this client's field manager: creates the object, or sets the given fields and
   * removes those that this manager applied before and that are not given now.
   */
  apply<T extends KubeObject>(kind: Kind<T>, object: T, options?: CallOptions): Promise<T>
  mergePatch<T extends KubeObject>(kind: Kind<T>, ref: ObjectRef, patch: MergePatch, options?: CallOptions): Promise<T>
  /**
   * Merge patch of the spec of an object that was read before. Takes effect only if the object still has the uid and
   * generation of `read`; a write of its status in between is no conflict. Throws `ApiConflict` otherwise.
   */
  mergePatchSpec<T extends KubeObject>(kind: Kind<T>, read: T, spec: MergePatch, options?: CallOptions): Promise<T>
  /**
   * Merge patch of the status subresource: only `status` takes effect. `metadata.resourceVersion` is a precondition. If
   * `metadata.uid` is not the object's, the call throws `ApiConflict`, but the status may have been written already,
   * because the API server ignores the uid here. A caller that must prevent such a write names the resourceVersion.
   */
  patchStatus<T extends KubeObject>(kind: Kind<T>, ref: ObjectRef, patch: MergePatch, options?: CallOptions): Promise<T>
  /** Replaces the object if it still has the resourceVersion of `object` (for Leases). */
  replace<T extends KubeObject>(kind: Kind<T>, object: T, options?: CallOptions): Promise<T>
  /**
   * Deletes an object; `absent` if there is none, or if the object of this name has another uid than the precondition.
   */
  delete<T extends KubeObject>(kind: Kind<T>, ref: ObjectRef, options?: DeleteOptions): Promise<"deleted" | "absent">
  recordEvent(event: EventInput, options?: CallOptions): Promise<void>
  /** The log of a Pod's container `mcp`, oldest line first. The result is held in memory, so limit it by the query. */
  podLogs(ref: ObjectRef, query: LogQuery, options?: CallOptions): Promise<string>
  /**
   * The same log as a stream of texts without split characters, read at the consumer's pace. A consumer that follows
   * the log too slowly may miss lines.
   */
  streamLogs(ref: ObjectRef, query: LogStreamQuery, options?: CallOptions): AsyncIterable<string>
  /** Ends every reflection and connection. */
  close(): Promise<void>
}

/**
 * True if the API server could not call an admission webhook, or got an invalid response from it. The API server then
 * returns 500 with a message that is the same since Kubernetes 1.9 (`failed calling webhook "name": …`).
 */
export const isWebhookFailure = (error: unknown): error is AppError =>
  hasCode(error, "ClusterUnavailable") && error.data?.status === 500 && /failed calling webhook/i.test(error.message)
