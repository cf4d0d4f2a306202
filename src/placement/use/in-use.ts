import type { ClockPort } from "../../ports/clock.ts"
import { markDelayMs, markRenewMs } from "../../signals/in-use.ts"

/** Pause after a write that failed. */
const retryMs = 5_000
/** How long {@link InUseMarks.close} may take: a mark that could not be removed dies by itself. */
const closeMs = 2_000

/** Which instance, and which one of that name. */
export type InstanceId = { readonly name: string; readonly uid: string }

/** What became of a write about use. */
export type Written = "written" | "gone" | "failed"

/** Sets (`open`) or removes this replica's mark in the instance's `inUseBy`. Never rejects. */
export type WriteMark = (instance: InstanceId, open: boolean) => Promise<Written>

/** This replica's in-use marks, in `inUseBy`: they say that calls run or requests wait, so that nothing is collected under them. */
export type InUseMarks = {
  /** An open call; the returned function ends it, once. */
  beginCall(instance: InstanceId): () => void
  /** Whether requests wait for the instance. `urgent`: the operator must hear of it at once. */
  setWaiting(instance: InstanceId, waiting: boolean, urgent: boolean): void
  /**
   * The instance drains: if calls are open the mark is written at once. Resolves with whether the object now tells of
   * them; with true if there are none.
   */
  hurry(uid: string): Promise<boolean>
  /** The instance is gone, and its mark with it. */
  forget(uid: string): void
  /** Removes all own marks, within two seconds. */
  close(): Promise<void>
}

type Entry = InstanceId & {
  calls: number
  waiting: boolean
  /** True if the object holds our mark, as far as we know. */
  written: boolean
  /** True if the mark should be written now. */
  due: boolean
  /** True if the write under way removes the mark. */
  removing: boolean
  running: Promise<void> | undefined
  cancel: (() => void) | undefined
}

const isOpen = ({ calls, waiting }: Entry): boolean => calls > 0 || waiting

/** Makes the keeper of this replica's marks. Close it. */
export const createInUseMarks = (deps: { readonly clock: ClockPort; readonly write: WriteMark }): InUseMarks => {
  const { clock, write } = deps
  const entries = new Map<string, Entry>()
  let closed = false

  const schedule = (entry: Entry, ms: number): void => {
    entry.cancel?.()
    entry.cancel = clock.timer(ms, () => {
      entry.cancel = undefined
      entry.due = true
      settle(entry)
    })
  }

  const drop = (entry: Entry): void => {
    entry.cancel?.()
    if (entries.get(entry.uid) === entry) entries.delete(entry.uid)
  }

  /** Writes until the object says what is true here. */
  const converge = async (entry: Entry): Promise<void> => {
    while (isOpen(entry) ? entry.due : entry.written) {
      const open = isOpen(entry)
      entry.due = false
      entry.removing = !open
      const outcome = await write(entry, open)
      if (outcome === "gone") return drop(entry)
      if (outcome === "failed") return open && !closed ? schedule(entry, retryMs) : drop(entry)
      entry.written = open
    }
    if (!isOpen(entry)) return drop(entry)
    // opened again while the mark was being removed: it starts over
    schedule(entry, entry.written ? markRenewMs : markDelayMs)
  }

  const settle = (entry: Entry): void => {
    entry.running ??= converge(entry).finally(() => {
      entry.running = undefined
      // what changed between the last look and now
      if (entries.get(entry.uid) === entry && (isOpen(entry) ? entry.due : true)) settle(entry)
    })
  }

  const changed = (entry: Entry, urgent: boolean): void => {
    if (closed) return
    if (!isOpen(entry)) {
      entry.cancel?.()
      entry.cancel = undefined
      if (entry.written || entry.running !== undefined) settle(entry)
      else drop(entry)
    } else if (entry.running !== undefined) entry.due ||= urgent && entry.removing
    else if (entry.written) return
    else if (urgent) {
      entry.due = true
      settle(entry)
    } else if (entry.cancel === undefined) schedule(entry, markDelayMs)
  }

  const entryOf = ({ name, uid }: InstanceId): Entry => {
    const known = entries.get(uid)
    if (known !== undefined) return known
    const entry: Entry = {
      name,
      uid,
      calls: 0,
      waiting: false,
      written: false,
      due: false,
      removing: false,
      running: undefined,
      cancel: undefined,
    }
    entries.set(uid, entry)
    return entry
  }

  const close = async (): Promise<void> => {
    closed = true
    const ends = [...entries.values()].map((entry) => {
      entry.cancel?.()
      entry.calls = 0
      entry.waiting = false
      settle(entry)
      return entry.running
    })
    const limit = new AbortController()
    await Promise.race([Promise.all(ends), clock.sleep(closeMs, limit.signal).catch(() => {})])
    limit.abort()
  }

  return {
    beginCall: (instance) => {
      const entry = entryOf(instance)
      entry.calls++
      changed(entry, false)
      let ended = false
      return () => {
        if (ended) return
        ended = true
        entry.calls = Math.max(0, entry.calls - 1)
        if (!isOpen(entry)) changed(entry, false)
      }
    },
    setWaiting: (instance, waiting, urgent) => {
      const known = entries.get(instance.uid)
      if (known === undefined && !waiting) return
      const entry = known ?? entryOf(instance)
      if (entry.waiting === waiting && !urgent) return
      entry.waiting = waiting
      changed(entry, urgent)
    },
    hurry: async (uid) => {
      const entry = entries.get(uid)
      if (entry === undefined || entry.calls === 0) return true
      changed(entry, true)
      await entry.running
      return entry.written || entry.calls === 0
    },
    forget: (uid) => {
      const entry = entries.get(uid)
      if (entry !== undefined) drop(entry)
    },
    close,
  }
}
