import { controllerUID, type KubeObject } from "../api/kinds/kind.ts"
import { createFreshView } from "../cache/fresh-view.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { Change, Reflection } from "../ports/cluster.ts"
import { stamp } from "./time.ts"

/**
 * A reflection, plus the writes of this operator that the reflection has not seen yet. So a cache that lags never makes
 * the operator create an object twice, or decide by a state that it has changed itself.
 */
export type View<T extends KubeObject> = {
  get(name: string): T | undefined
  items(): Iterable<T>
  readonly size: number
  /** Objects whose controller has this UID. */
  controlledBy(uid: string): readonly T[]
  /** Objects with an owner of this kind and name, whatever its UID. */
  ownedByName(kind: string, name: string): readonly T[]
  /** Takes an object as the API server returned it, for a write or a read. */
  learn(object: T): void
  /** Records that this operator deleted the object: from now on it counts as terminating. */
  ended(object: T): void
  /**
   * Records that a read of the API server found no object of this name; `uid` is that of the object that the view showed
   * before the read. Ignored if the view shows another object by now.
   */
  gone(name: string, uid: string): void
  /** True if for at least `ms` the reflection has not confirmed what the view has under this name. */
  doubtful(name: string, ms: number): boolean
  /** The listener is called after the view has the change, with the cache's objects. Returns the unsubscribe function. */
  subscribe(listener: (change: Change<T>) => void): () => void
  close(): void
}

/** An index from keys to the names of the objects that have them. An object may have several keys. */
const createIndex = <T extends KubeObject>(keysOf: (object: T) => readonly string[]) => {
  const names = new Map<string, Set<string>>()
  return {
    add: (object: T): void => {
      for (const key of keysOf(object)) {
        const found = names.get(key)
        if (found === undefined) names.set(key, new Set([object.metadata.name]))
        else found.add(object.metadata.name)
      }
    },
    remove: (object: T): void => {
      for (const key of keysOf(object)) {
        const found = names.get(key)
        found?.delete(object.metadata.name)
        if (found?.size === 0) names.delete(key)
      }
    },
    get: (key: string): Iterable<string> => names.get(key) ?? [],
  }
}

const controllerKeys = (object: KubeObject): readonly string[] => {
  const uid = controllerUID(object)
  return uid === undefined ? [] : [uid]
}
const ownerKeys = (object: KubeObject): readonly string[] =>
  (object.metadata.ownerReferences ?? []).map((owner) => `${owner.kind}/${owner.name}`)

/** The object with a deletionTimestamp: its own, or `now`. */
const terminating = <T extends KubeObject>(object: T, now: number): T =>
  object.metadata.deletionTimestamp !== undefined
    ? object
    : { ...object, metadata: { ...object.metadata, deletionTimestamp: stamp(now) } }

/** Makes the view of a synced reflection. */
export const createView = <T extends KubeObject>(reflection: Reflection<T>, clock: ClockPort): View<T> => {
  const byController = createIndex<T>(controllerKeys)
  const byOwner = createIndex<T>(ownerKeys)
  /** UIDs of objects that this operator deleted, until the reflection reports their end. */
  const ending = new Set<string>()
  const stored = (before: T | undefined, after: T | undefined): void => {
    for (const index of [byController, byOwner]) {
      if (before !== undefined) index.remove(before)
      if (after !== undefined) index.add(after)
    }
  }
  const show = (object: T): T => (ending.has(object.metadata.uid ?? "") ? terminating(object, clock.now()) : object)
  const view = createFreshView(reflection, { clock, show, stored })
  const unsubscribe = view.subscribe(({ type, object }) => {
    if (type === "deleted") ending.delete(object.metadata.uid ?? "")
  })

  const named = (names: Iterable<string>): readonly T[] => [...names].flatMap((name) => view.get(name) ?? [])
  return {
    get: view.get,
    items: view.items,
    get size() {
      return view.size
    },
    controlledBy: (uid) => named(byController.get(uid)),
    ownedByName: (kind, name) => named(byOwner.get(`${kind}/${name}`)),
    learn: (object) => void view.learn(object),
    ended: ({ metadata: { name, uid } }) => {
      if (uid === undefined) return
      ending.add(uid)
      if (view.get(name)?.metadata.uid === uid) view.touch(name)
    },
    gone: (name, uid) => void view.gone(name, uid),
    doubtful: (name, ms) => {
      const since = view.unconfirmedSince(name)
      return since !== undefined && clock.now() - since >= ms
    },
    subscribe: view.subscribe,
    close: () => {
      unsubscribe()
      view.close()
    },
  }
}
