import type { KubeObject } from "../api/kinds/kind.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { Change, Reflection } from "../ports/cluster.ts"

/**
 * A watch cache, corrected by answers of the API server that are fresher: to writes of ours, and to reads. A cache that lags
 * behind can never make us create twice, or decide on a state that we changed ourselves.
 */
type FreshView<T extends KubeObject> = {
  /** The freshest state known. */
  get(name: string): T | undefined
  items(): Iterable<T>
  readonly size: number
  /** Takes an object as the API server answered. False if that is no news: known already, older, or of an object that has ended. */
  learn(object: T): boolean
  /**
   * Takes an answer that found nothing: the object with this UID is gone, and does not come back, whatever the cache still shows
   * of it. An object of the same name with another UID is not meant. False if that is no news.
   */
  gone(name: string, uid: string): boolean
  /** Shows the object of this name anew, through `show`, and counts it as unconfirmed. */
  touch(name: string): void
  /** Since when the cache has not confirmed what is known under this name, milliseconds since the epoch; undefined if it has. */
  unconfirmedSince(name: string): number | undefined
  /** Calls `listener` for each change of the cache, after the view has it. The object is the cache's. */
  subscribe(listener: (change: Change<T>) => void): () => void
  close(): void
}

/** What besides the cache makes a view. */
type FreshViewOptions<T extends KubeObject> = {
  readonly clock: ClockPort
  /** How an object is shown; default as it is. */
  readonly show?: (object: T) => T
  /** Told of what is put in place of what, for indexes; `undefined` = nothing. */
  readonly stored?: (before: T | undefined, after: T | undefined) => void
}

/** How long the end of an object is remembered, milliseconds, so that a late answer does not bring it back. */
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

/** UIDs of objects that are gone: forever while the cache may still show them, for a while afterwards. */
const createEnded = (clock: ClockPort) => {
  const hidden = new Set<string>()
  const since = new Map<string, number>()
  return {
    has: (uid: string | undefined): boolean => uid !== undefined && (hidden.has(uid) || since.has(uid)),
    /** An answer found it missing before the cache did. */
    hide: (uid: string | undefined): void => {
      if (uid !== undefined) hidden.add(uid)
    },
    /** The cache tells of its end. */
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

/** Makes the view of a reflection and subscribes it. Close it. */
export const createFreshView = <T extends KubeObject>(
  reflection: Reflection<T>,
  { clock, show = (object) => object, stored = () => {} }: FreshViewOptions<T>,
): FreshView<T> => {
  const objects = new Map<string, T>()
  /** Names that we know more of than the cache, since when. */
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
  /** True if what is known under this name is newer than what the cache shows. */
  const isBehind = (object: T): boolean => {
    const known = objects.get(object.metadata.name)
    if (known === undefined || !ahead.has(object.metadata.name)) return false
    return isLater(versionOf(known), versionOf(object)) ?? uidOf(known) === uidOf(object)
  }
  const follow = ({ type, object, previous }: Change<T>): void => {
    const { name, uid } = object.metadata
    // a successor tells of the end too
    if (previous !== undefined && uidOf(previous) !== uid) ended.note(uidOf(previous))
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
    // what the cache still has is at most as fresh as what was just found missing
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
