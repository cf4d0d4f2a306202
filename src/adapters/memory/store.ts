import { deepFreeze } from "../../api/patch.ts"
import type { ObjectRef } from "../../ports/cluster.ts"
import type { Ownership } from "./ownership.ts"
import { type AnyKind, kindKey, type Raw } from "./raw.ts"

/** One write to the store. */
export type Entry = {
  /** The resource version of the object after the write. */
  readonly version: number
  readonly type: "ADDED" | "MODIFIED" | "DELETED"
  /** The new state; for DELETED the last state, with the version of the deletion. */
  readonly object: Raw
  /** The state before; absent for ADDED. */
  readonly previous?: Raw
}

/** The last writes to one kind, by position. Positions only grow; the oldest writes are dropped. */
type History = {
  append(entry: Entry): void
  /** Position of the first write after `version`; undefined if writes after `version` may have been dropped. */
  after(version: number): number | undefined
  /** The write at a position; undefined if it has not happened yet; `gone` if it was dropped. */
  at(position: number): Entry | undefined | "gone"
  /** Calls `listener` after each write. The returned function unsubscribes. */
  subscribe(listener: () => void): () => void
}

/** Makes a history that keeps at least the last `limit` writes. `since` is the version before the first write. */
const createHistory = (limit: number, since: number): History => {
  let entries: Entry[] = []
  let first = 0
  /** Highest version that was dropped: a watch can only begin at this version or a later one. */
  let forgotten = since
  const listeners = new Set<() => void>()

  const shrink = (): void => {
    if (entries.length < limit * 2) return
    const dropped = entries.length - limit
    forgotten = entries[dropped - 1]?.version ?? forgotten
    entries = entries.slice(dropped)
    first += dropped
  }

  return {
    append: (entry) => {
      entries.push(entry)
      shrink()
      for (const listener of listeners) listener()
    },
    after: (version) => {
      if (version < forgotten) return undefined
      let [low, high] = [0, entries.length]
      while (low < high) {
        const middle = (low + high) >> 1
        if ((entries[middle]?.version ?? 0) > version) high = middle
        else low = middle + 1
      }
      return first + low
    },
    at: (position) => (position < first ? "gone" : entries[position - first]),
    subscribe: (listener) => {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
  }
}

/** An object with its kind and the field managers, which are kept outside of the object. */
export type Stored = {
  readonly kind: AnyKind
  /** Frozen. */
  readonly object: Raw
  readonly ownership: Ownership
}

/** Raw storage of all objects and their versions, without the semantics of an API server. Every function is atomic. */
export type Store = {
  /** The version of the last write. */
  version(): number
  find(kind: AnyKind, ref: ObjectRef): Stored | undefined
  findByUid(uid: string): Stored | undefined
  /** Objects of a kind in a namespace, in no particular order. */
  items(kind: AnyKind, namespace: string): Iterable<Stored>
  /** Objects that name this UID as an owner. */
  dependents(uid: string): Stored[]
  /** Writes with a new resource version; returns what is stored now. */
  put(next: Stored): Stored
  /** Replaces the field managers of an object without a write: no new version, no watch event. */
  keepOwnership(stored: Stored): void
  remove(stored: Stored): void
  history(kind: AnyKind): History
  /** Calls `listener` after each write of any kind. */
  onWrite(listener: (entry: Entry) => void): void
}

const ownersOf = (object: Raw | undefined): readonly string[] =>
  (object?.metadata.ownerReferences ?? []).map((reference) => reference.uid)

const refOf = (object: Raw): ObjectRef => ({
  namespace: object.metadata.namespace ?? "",
  name: object.metadata.name,
})

const uidOf = (object: Raw): string => object.metadata.uid ?? ""

type Tables = {
  readonly objects: Map<string, Map<string, Stored>>
  readonly byUid: Map<string, Stored>
  readonly byOwner: Map<string, Set<string>>
}

const tableKey = (kind: AnyKind, namespace: string): string => `${kindKey(kind)} ${namespace}`

/** Replaces `previous` by `next` in all tables; without `previous` adds it, without `next` removes it. */
const index = (tables: Tables, previous: Stored | undefined, next: Stored | undefined): void => {
  const stored = next ?? previous
  if (stored === undefined) return
  const { namespace, name } = refOf(stored.object)
  const uid = uidOf(stored.object)
  const key = tableKey(stored.kind, namespace)
  const table = tables.objects.get(key) ?? new Map<string, Stored>()
  tables.objects.set(key, table)
  for (const owner of ownersOf(previous?.object)) {
    tables.byOwner.get(owner)?.delete(uid)
    if (tables.byOwner.get(owner)?.size === 0) tables.byOwner.delete(owner)
  }
  if (next === undefined) {
    table.delete(name)
    tables.byUid.delete(uid)
    return
  }
  table.set(name, next)
  tables.byUid.set(uid, next)
  for (const owner of ownersOf(next.object))
    tables.byOwner.set(owner, (tables.byOwner.get(owner) ?? new Set()).add(uid))
}

const versioned = (object: Raw, version: number): Raw =>
  deepFreeze({ ...object, metadata: { ...object.metadata, resourceVersion: String(version) } })

/** Makes an empty store that keeps at least `historyLimit` writes of each kind for its watchers. */
export const createStore = (historyLimit: number): Store => {
  const tables: Tables = { objects: new Map(), byUid: new Map(), byOwner: new Map() }
  const histories = new Map<string, History>()
  const listeners: ((entry: Entry) => void)[] = []
  let version = 1

  const history = (kind: AnyKind): History => {
    const known = histories.get(kindKey(kind))
    if (known !== undefined) return known
    const made = createHistory(historyLimit, 0)
    histories.set(kindKey(kind), made)
    return made
  }
  const notify = (kind: AnyKind, entry: Entry): void => {
    history(kind).append(entry)
    for (const listener of listeners) listener(entry)
  }
  const find = (kind: AnyKind, { namespace, name }: ObjectRef): Stored | undefined =>
    tables.objects.get(tableKey(kind, namespace))?.get(name)

  return {
    version: () => version,
    find,
    findByUid: (uid) => tables.byUid.get(uid),
    items: (kind, namespace) => tables.objects.get(tableKey(kind, namespace))?.values() ?? [],
    dependents: (uid) => [...(tables.byOwner.get(uid) ?? [])].flatMap((each) => tables.byUid.get(each) ?? []),
    put: (next) => {
      const previous = find(next.kind, refOf(next.object))
      const stored = { ...next, object: versioned(next.object, ++version) }
      index(tables, previous, stored)
      const { object } = stored
      if (previous === undefined) notify(next.kind, { version, type: "ADDED", object })
      else notify(next.kind, { version, type: "MODIFIED", object, previous: previous.object })
      return stored
    },
    keepOwnership: (stored) => index(tables, find(stored.kind, refOf(stored.object)), stored),
    remove: (stored) => {
      index(tables, stored, undefined)
      const object = versioned(stored.object, ++version)
      notify(stored.kind, { version, type: "DELETED", object, previous: stored.object })
    },
    history,
    onWrite: (listener) => void listeners.push(listener),
  }
}
