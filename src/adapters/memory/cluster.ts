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
 * Removes objects whose owners are all gone, in the background, as kube-controller-manager does: also those that were
 * made with an owner that never was. References to owners that are gone are dropped where another owner is left.
 * Returns a function that ends it.
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

/** The paths of fields by who wrote them: `{"Update reflow-gateway": [["spec", "image"]]}`. */
type KeptManagers = Readonly<Record<string, readonly (readonly string[])[]>>

/** An object as it is kept beyond the end of its cluster: without status, which is found out anew, and version. */
export type Kept = {
  readonly object: KubeObject
  /** Absent: all that is in it was written by the one who restores it. */
  readonly managers?: KeptManagers
}

/** What is kept of a stored object. */
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
 * Puts a kept object into a store with its UID and times, as a backup of an API server does. Throws `ApiInvalid` if
 * the kind does not allow it any more, `ApiAlreadyExists` if its name is taken.
 */
const restoreKept = (store: Store, kind: AnyKind, kept: Kept, manager: string): void => {
  const given = toRaw(kept.object)
  const { name, namespace = "" } = given.metadata
  const object = validate(kind, given)
  if (store.find(kind, { namespace, name }) !== undefined) throw alreadyExists(kind, name)
  store.put({ kind, object, ownership: ownershipIn(kind, given, kept, manager) })
}

/** Reads the logs of Pods' containers `mcp`: what a node does for an API server. */
type LogSource = {
  podLogs(ref: ObjectRef, query: LogQuery, signal?: AbortSignal): Promise<string>
  streamLogs(ref: ObjectRef, query: LogStreamQuery, signal?: AbortSignal): AsyncIterable<string>
}

/** How a client of the embedded cluster acts. */
type ClientOptions = {
  /** Its field manager, and the component of its Events. */
  readonly fieldManager: string
  readonly intercept?: Intercept
}

/** The embedded cluster: an API server and a garbage collector in this process, and one client of it. */
export type MemoryCluster = ClusterPort & {
  /** Another client of the same cluster. Closing the cluster closes it too. */
  client(options: ClientOptions): ClusterPort
  /** Names who reads the logs of Pods: the node. The returned function withdraws it. */
  registerLogs(source: LogSource): () => void
  /** What is kept of the objects of a kind, for {@link MemoryCluster.restore} of a later cluster. */
  keep(kind: AnyKind, namespace: string): readonly Kept[]
  /**
   * Puts a kept object back, with its UID and times; what has an owner goes after its owner. Throws `ApiInvalid` if its
   * kind does not allow it any more, `ApiAlreadyExists` if its name is taken.
   */
  restore(kind: AnyKind, kept: Kept): void
  /** Calls `listener` after each write, of whichever kind, with the object as it is then or was last. */
  onWrite(listener: (object: KubeObject) => void): void
}

/** What the embedded cluster needs. */
type MemoryClusterOptions = {
  readonly clock: ClockPort
  readonly telemetry: TelemetryPort
  /** Field manager of the cluster's own client; default `reflow`. */
  readonly fieldManager?: string
  readonly intercept?: Intercept
  /** Writes of each kind that watchers may lag behind before they get 410; default 4096. */
  readonly historyLimit?: number
  /** Milliseconds between bookmarks; default 60 s, as on an API server. */
  readonly bookmarkMs?: number
}

/** The node that has a Pod's log. */
const nodeOf = (store: Backend["store"], source: LogSource | undefined, ref: ObjectRef): LogSource => {
  if (store.find(podKind, ref) === undefined) throw notFound(podKind, ref)
  if (source !== undefined) return source
  throw new AppError("ApiInvalid", { detail: `pods "${ref.name}" has no log: the cluster has no node` })
}

/**
 * Makes an empty embedded cluster. Nothing outlives the process but what somebody keeps and restores. Namespaces need not be
 * made; Services get the address 127.0.0.1; a Pod on a node stays, once deleted, until its node deletes it with grace 0.
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
