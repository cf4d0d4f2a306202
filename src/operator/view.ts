import { controllerUID, type KubeObject } from "../api/kinds/kind.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { Change, Reflection } from "../ports/cluster.ts"
import { stamp } from "./start.ts"

/**
 * A reflection plus what this operator wrote and the reflection has not seen yet. A cache that lags behind can
 * therefore never make us create twice or decide on a state that we changed ourselves.
 */
export type View<T extends KubeObject> = {
  get(name: string): T | undefined
  items(): Iterable<T>
  readonly size: number
  /** Objects whose controller has this UID. */
  controlledBy(uid: string): readonly T[]
  /** Objects with an owner of this kind and name, whatever its UID. */
  ownedByName(kind: string, name: string): readonly T[]
  /** An object as the API server answered: to a write of ours, or to an authoritative read. */
  learn(object: T): void
  /** We deleted this object: from now on it counts as terminating. */
  ended(object: T): void
  /** An authoritative read found nothing (left) under this name. */
  gone(name: string): void
  /** Names under which the reflection has not confirmed, for `ms`, what we know. */
  doubtful(name: string, ms: number): boolean
  /** Called after the view has the change; the object is the view's. */
  subscribe(listener: (change: Change<T>) => void): () => void
  close(): void
}

const digits = /^[0-9]+$/

/** True if version `a` is later than `b` of the same object; undefined if they cannot be compared. */
export const isLater = (a: string | undefined, b: string | undefined): boolean | undefined => {
  if (a === undefined || b === undefined || !digits.test(a) || !digits.test(b)) return a === b ? false : undefined
  return a.length === b.length ? a > b : a.length > b.length
}

/** An index of names by a set of keys of each object. */
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

/** Makes the view of a synced reflection. */
export const createView = <T extends KubeObject>(reflection: Reflection<T>, clock: ClockPort): View<T> => {
  const objects = new Map<string, T>()
  const byController = createIndex<T>(controllerKeys)
  const byOwner = createIndex<T>(ownerKeys)
  /** Names that we know more of than the reflection, since when. */
  const ahead = new Map<string, number>()
  /** UIDs that we deleted. */
  const ending = new Set<string>()
  const listeners = new Set<(change: Change<T>) => void>()

  const terminating = (object: T): T =>
    !ending.has(object.metadata.uid ?? "") || object.metadata.deletionTimestamp !== undefined
      ? object
      : { ...object, metadata: { ...object.metadata, deletionTimestamp: stamp(clock.now()) } }
  const drop = (name: string): void => {
    const before = objects.get(name)
    if (before === undefined) return
    byController.remove(before)
    byOwner.remove(before)
    objects.delete(name)
  }
  const put = (object: T): void => {
    drop(object.metadata.name)
    const shown = terminating(object)
    objects.set(object.metadata.name, shown)
    byController.add(shown)
    byOwner.add(shown)
  }
  /** True if what we know under this name is newer than `object`. */
  const isBehind = (object: T): boolean => {
    const known = objects.get(object.metadata.name)
    if (known === undefined || !ahead.has(object.metadata.name)) return false
    const later = isLater(known.metadata.resourceVersion, object.metadata.resourceVersion)
    return later ?? known.metadata.uid === object.metadata.uid
  }
  const follow = (change: Change<T>): void => {
    const { name, uid } = change.object.metadata
    if (change.type === "deleted") {
      ending.delete(uid ?? "")
      if (objects.get(name)?.metadata.uid === uid) {
        ahead.delete(name)
        drop(name)
      }
    } else if (!isBehind(change.object)) {
      ahead.delete(name)
      put(change.object)
    }
    for (const listener of listeners) listener(change)
  }
  for (const object of reflection.items()) put(object)
  const unsubscribe = reflection.subscribe(follow)

  const named = (names: Iterable<string>): readonly T[] =>
    [...names].flatMap((name) => {
      const object = objects.get(name)
      return object === undefined ? [] : [object]
    })
  return {
    get: (name) => objects.get(name),
    items: () => objects.values(),
    get size() {
      return objects.size
    },
    controlledBy: (uid) => named(byController.get(uid)),
    ownedByName: (kind, name) => named(byOwner.get(`${kind}/${name}`)),
    learn: (object) => {
      const { name, resourceVersion, uid } = object.metadata
      const known = objects.get(name)
      if (known?.metadata.uid === uid && isLater(known?.metadata.resourceVersion, resourceVersion)) return
      const cached = reflection.get(name)
      const confirmed =
        cached?.metadata.uid === uid && isLater(resourceVersion, cached?.metadata.resourceVersion) === false
      if (confirmed) ahead.delete(name)
      else ahead.set(name, clock.now())
      put(object)
    },
    ended: (object) => {
      const { name, uid } = object.metadata
      if (uid !== undefined) ending.add(uid)
      const known = objects.get(name)
      if (known === undefined || known.metadata.uid !== uid) return
      ahead.set(name, clock.now())
      put(known)
    },
    gone: (name) => {
      const uid = objects.get(name)?.metadata.uid
      // what the reflection still shows of it must not come back before its end is told
      if (uid !== undefined && reflection.get(name)?.metadata.uid === uid) ending.add(uid)
      ahead.delete(name)
      drop(name)
    },
    doubtful: (name, ms) => {
      const since = ahead.get(name)
      return since !== undefined && clock.now() - since >= ms
    },
    subscribe: (listener) => {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    close: unsubscribe,
  }
}
