import { clearImmediate, setImmediate } from "node:timers"
import type { KubeObject, OwnerReference } from "../../api/kinds/kind.ts"
import { podKind } from "../../api/kinds/pod.ts"
import { AppError } from "../../errors.ts"
import type { ClockPort } from "../../ports/clock.ts"
import type { ClusterPort, LogQuery, LogStreamQuery, ObjectRef } from "../../ports/cluster.ts"
import type { TelemetryPort } from "../../ports/telemetry.ts"
import { type Backend, createClient, type Intercept } from "./client.ts"
import { createEventRecorder } from "./events.ts"
import { managerKey, type Ownership, ownershipAfterWrite, ownershipOf, pathsOf, toOwnable } from "./ownership.ts"
import { type AnyKind, alreadyExists, notFound, type Raw, toRaw } from "./raw.ts"
import { createPages } from "./select.ts"
import { createServer, type Server } from "./server.ts"
import { createStore, type Store, type Stored } from "./store.ts"
import { validate } from "./validate.ts"

const manager = "garbage-collector"

/**
 * Deletes objects none of whose owners exists, in the background, as kube-controller-manager does; also objects that
 * were created with an owner that never existed. If at least one owner exists, only the references to the others are
 * removed. Returns a function that stops it.
 */
export const collectGarbage = (store: Store, server: Server): (() => void) => {
  const queue = new Set<string>()
  let scheduled: NodeJS.Immediate | undefined
  let closed = false

  const isAlive = (owner: OwnerReference, namespace: string | undefined): boolean => {
    const found = store.findByUid(owner.uid)?.object
    return found?.kind === owner.kind && found.metadata.name === owner.name && found.metadata.namespace === namespace
  }

  const check = ({ kind, object }: Stored): void => {
    const { uid, name, namespace = "", ownerReferences = [] } = object.metadata
    const alive = ownerReferences.filter((owner) => isAlive(owner, object.metadata.namespace))
    if (uid === undefined || alive.length === ownerReferences.length) return
    const ref = { namespace, name }
    if (alive.length === 0) server.delete(kind, ref, { preconditions: { uid } })
    else server.mergePatch(kind, ref, { metadata: { uid, ownerReferences: alive } }, manager)
  }

  const drain = (): void => {
    scheduled = undefined
    for (const uid of queue) {
      queue.delete(uid)
      const stored = store.findByUid(uid)
      if (stored !== undefined) check(stored)
    }
  }

  store.onWrite(({ type, object, previous }) => {
    const { uid = "", ownerReferences = [] } = object.metadata
    if (type === "DELETED") for (const each of store.dependents(uid)) queue.add(each.object.metadata.uid ?? "")
    else if (ownerReferences.length > 0 && ownerReferences !== previous?.metadata.ownerReferences) queue.add(uid)
    if (queue.size > 0 && !closed) scheduled ??= setImmediate(drain)
  })

  return () => {
    closed = true
    if (scheduled !== undefined) clearImmediate(scheduled)
  }
}

/** The paths of fields by field manager: `{"Update reflow-gateway": [["spec", "image"]]}`. */
type KeptManagers = Readonly<Record<string, readonly (readonly string[])[]>>

/**
 * An object to save beyond the end of its cluster: without status, which controllers compute again, and
 * resourceVersion.
 */
export type Kept = {
  readonly object: KubeObject
  /** Absent: the field manager of the cluster that restores the object owns all its fields. */
  readonly managers?: KeptManagers
}

/** The part of a stored object that is saved. */
const toKept = ({ kind, object, ownership }: Stored): Kept => {
  const { status, ...rest } = object
  const { resourceVersion: _, ...metadata } = object.metadata
  return {
    object: { ...rest, metadata, ...(kind.statusSubresource || status === undefined ? {} : { status }) },
    managers: Object.fromEntries([...ownership].map(([key, paths]) => [key, pathsOf(paths)])),
  }
}

const ownershipIn = (kind: AnyKind, object: Raw, { managers }: Kept, manager: string): Ownership =>
  managers === undefined
    ? ownershipAfterWrite(new Map(), managerKey(manager, "Update"), {}, toOwnable(object, kind.statusSubresource))
    : ownershipOf(managers)

/**
 * Puts a saved object into a store with its UID and times, like restoring a backup of etcd. Throws `ApiInvalid` if the
 * kind's schema no longer allows the object, `ApiAlreadyExists` if its name is taken.
 */
const restoreKept = (store: Store, kind: AnyKind, kept: Kept, manager: string): void => {
  const given = toRaw(kept.object)
  const { name, namespace = "" } = given.metadata
  const object = validate(kind, given)
  if (store.find(kind, { namespace, name }) !== undefined) throw alreadyExists(kind, name)
  store.put({ kind, object, ownership: ownershipIn(kind, given, kept, manager) })
}

/** Reads the logs of Pods' containers `mcp`; the node of the embedded cluster implements it. */
type LogSource = {
  podLogs(ref: ObjectRef, query: LogQuery, signal?: AbortSignal): Promise<string>
  streamLogs(ref: ObjectRef, query: LogStreamQuery, signal?: AbortSignal): AsyncIterable<string>
}

/** Options of a client of the embedded cluster. */
type ClientOptions = {
  /** Field manager of the client's writes, and component of its Events. */
  readonly fieldManager: string
  readonly intercept?: Intercept
}

/** The embedded cluster: an API server and a garbage collector in this process, and one client of it. */
export type MemoryCluster = ClusterPort & {
  /** Another client of the same cluster. Closing the cluster closes it too. */
  client(options: ClientOptions): ClusterPort
  /** Sets the source of Pods' logs, the node. The returned function removes it. */
  registerLogs(source: LogSource): () => void
  /** The objects of a kind in the form to save, for {@link MemoryCluster.restore} of a later cluster. */
  keep(kind: AnyKind, namespace: string): readonly Kept[]
  /**
   * Restores a saved object with its UID and times. Restore owners before the objects that they own, or these are
   * deleted. Throws `ApiInvalid` if the kind's schema no longer allows the object, `ApiAlreadyExists` if its name is
   * taken.
   */
  restore(kind: AnyKind, kept: Kept): void
  /** Calls `listener` after each write of any kind with the new state, or after a deletion with the last state. */
  onWrite(listener: (object: KubeObject) => void): void
}

/** Dependencies and options of the embedded cluster. */
type MemoryClusterOptions = {
  readonly clock: ClockPort
  readonly telemetry: TelemetryPort
  /** Field manager of the cluster's own client; default `reflow`. */
  readonly fieldManager?: string
  readonly intercept?: Intercept
  /** How many writes of its kind a watcher may lag behind before it gets 410; default 4096. */
  readonly historyLimit?: number
  /** Milliseconds between bookmarks; default 60 s, as on an API server. */
  readonly bookmarkMs?: number
}

/** The source of a Pod's log. Throws `ApiNotFound` without such a Pod, `ApiInvalid` without a registered node. */
const nodeOf = (store: Backend["store"], source: LogSource | undefined, ref: ObjectRef): LogSource => {
  if (store.find(podKind, ref) === undefined) throw notFound(podKind, ref)
  if (source !== undefined) return source
  throw new AppError("ApiInvalid", { detail: `pods "${ref.name}" has no log: the cluster has no node` })
}

/**
 * Makes an empty embedded cluster. All state is in memory; use `keep` and `restore` to save it. Differences to a real
 * cluster: namespaces exist without being created, and Services get the address 127.0.0.1. As there, a deleted Pod on a
 * node remains until the node deletes it with grace 0.
 */
export const createMemoryCluster = (options: MemoryClusterOptions): MemoryCluster => {
  const { clock, telemetry } = options
  const store = createStore(options.historyLimit ?? 4096)
  const server = createServer(store, clock)
  const stopCollecting = collectGarbage(store, server)
  let logs: LogSource | undefined
  const backend: Backend = {
    store,
    server,
    pages: createPages(store),
    events: createEventRecorder(store, server, clock),
    podLogs: async (ref, query, signal) => nodeOf(store, logs, ref).podLogs(ref, query, signal),
    streamLogs: async (ref, query, signal) => nodeOf(store, logs, ref).streamLogs(ref, query, signal),
    clock,
    telemetry,
    bookmarkMs: options.bookmarkMs ?? 60_000,
  }
  const clients: ClusterPort[] = []
  const client = (settings: ClientOptions): ClusterPort => {
    const made = createClient(backend, settings.fieldManager, settings.intercept)
    clients.push(made)
    return made
  }
  const fieldManager = options.fieldManager ?? "reflow"
  const own = client({
    fieldManager,
    ...(options.intercept === undefined ? {} : { intercept: options.intercept }),
  })
  return {
    ...own,
    client,
    registerLogs: (source) => {
      logs = source
      return () => {
        if (logs === source) logs = undefined
      }
    },
    keep: (kind, namespace) => [...store.items(kind, namespace)].map(toKept),
    restore: (kind, kept) => restoreKept(store, kind, kept, fieldManager),
    onWrite: (listener) => store.onWrite(({ object }) => listener(object)),
    close: async () => {
      stopCollecting()
      await Promise.all(clients.map((each) => each.close()))
    },
  }
}
