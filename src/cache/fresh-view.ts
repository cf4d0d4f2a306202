import type { KubeObject } from "../api/kinds/kind.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { Change, Reflection } from "../ports/cluster.ts"

/**
 * A watch cache, corrected by fresher answers of the API server to this process's own writes and reads. So a cache that
 * lags behind cannot cause a second create, or a decision on a state that this process has changed already.
 */
type FreshView<T extends KubeObject> = {
  /** The freshest known state of the object of this name. */
  get(name: string): T | undefined
  items(): Iterable<T>
  readonly size: number
  /**
   * Takes an object from an answer of the API server. False if it is known already, older, or of an object that was
   * deleted.
   */
  learn(object: T): boolean
  /**
   * Takes a "not found" answer for the object with this UID: the view no longer shows that object, even if the cache
   * still does, nor an older object that the cache still has under this name. Ignored if the view shows another object by
   * now. False if the view did not have the object.
   */
  gone(name: string, uid: string): boolean
  /** Applies `show` again to the object of this name, and counts it as unconfirmed from now. */
  touch(name: string): void
  /** Since when the view is ahead of the cache for this name, milliseconds since the epoch; undefined if it is not. */
  unconfirmedSince(name: string): number | undefined
  /**
   * Calls `listener` for each change of the cache, after the view has it. The objects of the change are the cache's.
   */
  subscribe(listener: (change: Change<T>) => void): () => void
  close(): void
}

/** Options of a view. */
type FreshViewOptions<T extends KubeObject> = {
  readonly clock: ClockPort
  /** Changes each object before the view stores it; default: no change. */
  readonly show?: (object: T) => T
  /** Called for each object that the view stores or removes, to keep indexes; `undefined` = no object. */
  readonly stored?: (before: T | undefined, after: T | undefined) => void
}

/**
 * How long the UID of a deleted object is remembered, milliseconds, so that a late answer does not restore the object.
 */
const endedMs = 60_000

const digits = /^[0-9]+$/

/**
 * True if version `a` is later than `b`; undefined if they cannot be compared. Versions are decimal numbers of any length that
 * only grow within a resource type (Kubernetes API concepts, resource versions).
 */
export const isLater = (a: string | undefined, b: string | undefined): boolean | undefined => {
  if (a === undefined || b === undefined || !digits.test(a) || !digits.test(b)) return a === b ? false : undefined
  return a.length === b.length ? a > b : a.length > b.length
}

const versionOf = ({ metadata }: KubeObject): string | undefined => metadata.resourceVersion

const uidOf = (object: KubeObject | undefined): string | undefined => object?.metadata.uid

/** UIDs of deleted objects: kept as long as the cache still shows the object, and for {@link endedMs} afterwards. */
const createEnded = (clock: ClockPort) => {
  const hidden = new Set<string>()
  const since = new Map<string, number>()
  return {
    has: (uid: string | undefined): boolean =>
      uid !== undefined && (hidden.has(uid) || clock.now() - (since.get(uid) ?? Number.NEGATIVE_INFINITY) <= endedMs),
    /** An answer said "not found" while the cache still shows the object. */
    hide: (uid: string | undefined): void => {
      if (uid !== undefined) hidden.add(uid)
    },
    /** The cache shows that the object was deleted. */
    note: (uid: string | undefined): void => {
      if (uid === undefined) return
      hidden.delete(uid)
      const now = clock.now()
      for (const [each, at] of since) {
        if (now - at <= endedMs) break
        since.delete(each)
      }
      since.delete(uid)
      since.set(uid, now)
    },
  }
}

/** Makes the view of a reflection and subscribes to it. The caller must close the view; the reflection stays open. */
export const createFreshView = <T extends KubeObject>(
  reflection: Reflection<T>,
  { clock, show = (object) => object, stored = () => {} }: FreshViewOptions<T>,
): FreshView<T> => {
  const objects = new Map<string, T>()
  /** Names for which the view is ahead of the cache, with the time since when (milliseconds since the epoch). */
  const ahead = new Map<string, number>()
  const ended = createEnded(clock)
  const listeners = new Set<(change: Change<T>) => void>()

  const drop = (name: string): void => {
    const before = objects.get(name)
    ahead.delete(name)
    if (before === undefined) return
    objects.delete(name)
    stored(before, undefined)
  }
  const put = (object: T): void => {
    const { name } = object.metadata
    const before = objects.get(name)
    const shown = show(object)
    objects.set(name, shown)
    stored(before, shown)
  }
  /** True if the view has a newer state than `object`, which comes from the cache. */
  const isBehind = (object: T): boolean => {
    const known = objects.get(object.metadata.name)
    if (known === undefined || !ahead.has(object.metadata.name)) return false
    return isLater(versionOf(known), versionOf(object)) ?? uidOf(known) === uidOf(object)
  }
  const follow = ({ type, object }: Change<T>): void => {
    const { name, uid } = object.metadata
    if (type === "deleted") {
      ended.note(uid)
      if (uidOf(objects.get(name)) === uid) drop(name)
    } else if (!ended.has(uid) && !isBehind(object)) {
      ahead.delete(name)
      put(object)
    }
  }
  for (const object of reflection.items()) put(object)
  const unsubscribe = reflection.subscribe((change) => {
    follow(change)
    for (const listener of listeners) listener(change)
  })

  const learn = (object: T): boolean => {
    const { name, uid } = object.metadata
    const known = objects.get(name)
    if (ended.has(uid)) return false
    if (known !== undefined && isLater(versionOf(known), versionOf(object)) === true) return false
    const cached = reflection.get(name)
    const isConfirmed = uidOf(cached) === uid && isLater(versionOf(object), cached && versionOf(cached)) === false
    if (isConfirmed) ahead.delete(name)
    else ahead.set(name, clock.now())
    const isNews = uidOf(known) !== uid || isLater(versionOf(object), known && versionOf(known)) !== false
    if (isNews) put(object)
    return isNews
  }
  const gone = (name: string, uid: string): boolean => {
    if (uidOf(objects.get(name)) !== uid) return false
    const cached = uidOf(reflection.get(name))
    // the cache is not fresher than the answer, so any object that it still has under this name was deleted
    ended.hide(cached)
    if (cached !== uid) ended.note(uid)
    drop(name)
    return true
  }
  return {
    get: (name) => objects.get(name),
    items: () => objects.values(),
    get size() {
      return objects.size
    },
    learn,
    gone,
    touch: (name) => {
      const known = objects.get(name)
      if (known === undefined) return
      ahead.set(name, clock.now())
      put(known)
    },
    unconfirmedSince: (name) => ahead.get(name),
    subscribe: (listener) => {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    close: unsubscribe,
  }
}
