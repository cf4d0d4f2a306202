import type { Raw } from "./raw.ts"

/** One write to the store. */
export type Entry = {
  /** The resource version that the write made. */
  readonly version: number
  readonly type: "ADDED" | "MODIFIED" | "DELETED"
  /** The new state; for DELETED the last one, with the version of the deletion. */
  readonly object: Raw
  /** The state before; absent for ADDED. */
  readonly previous?: Raw
}

/** The last writes to one kind, by position. Positions only grow; old ones fall out. */
export type History = {
  append(entry: Entry): void
  /** Position of the first write after `version`; undefined if writes after it may have been forgotten. */
  after(version: number): number | undefined
  /** The write at a position; undefined at the end; `gone` if it has been forgotten. */
  at(position: number): Entry | undefined | "gone"
  /** Calls `listener` after each write. The returned function ends that. */
  subscribe(listener: () => void): () => void
}

/** Makes a history that remembers the last `limit` writes at least. `since` is the version before the first one. */
export const createHistory = (limit: number, since: number): History => {
  let entries: Entry[] = []
  let first = 0
  /** Highest version that was forgotten: a reader must have seen it. */
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
