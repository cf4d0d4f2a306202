import type { ClockPort } from "../../ports/clock.ts"
import { markDelayMs, markRenewMs } from "../../signals/in-use.ts"

/** Pause after a write that failed. */
const retryMs = 5_000
/**
 * How long {@link InUseMarks.close} may take. An in-use mark that could not be removed expires on the operator's side.
 */
const closeMs = 2_000

/** Name and UID of an instance: a newer instance of the same name has another UID. */
export type InstanceId = { readonly name: string; readonly uid: string }

/** Result of a write of use; `gone` = the instance was deleted. */
export type Written = "written" | "gone" | "failed"

/** Sets (`open`) or removes this replica's in-use mark in the instance's `status.inUseBy`. Never rejects. */
export type WriteMark = (instance: InstanceId, open: boolean) => Promise<Written>

/**
 * This replica's in-use marks in `status.inUseBy`, one for each instance with open calls or waiting requests here.
 * While an instance has a mark, the operator does not delete it as unused. A mark is written {@link markDelayMs} after
 * the use began, or at once if that is urgent, and renewed every {@link markRenewMs}. The operator ignores a mark that
 * has not changed for 90 s.
 */
export type InUseMarks = {
  /** Counts an open call on an instance until the returned function is called; calling it twice is harmless. */
  beginCall(instance: InstanceId): () => void
  /** Sets whether requests wait for the instance. `urgent`: write the in-use mark at once, without the delay. */
  setWaiting(instance: InstanceId, waiting: boolean, urgent: boolean): void
  /**
   * Writes the in-use mark of a draining instance at once if calls are open. Resolves with true if the object now has
   * the mark, or if no calls are open.
   */
  hurry(uid: string): Promise<boolean>
  /** Forgets an instance that was deleted, without a write. */
  forget(uid: string): void
  /** Removes all in-use marks of this replica; takes two seconds at most. */
  close(): Promise<void>
}

type Entry = InstanceId & {
  calls: number
  waiting: boolean
  /** When the use began that has gone on since, milliseconds since the epoch. */
  since: number
  /** True if the object has our in-use mark, by the last write. */
  written: boolean
  /** True if the mark must be written now. */
  due: boolean
  /** True if the current write removes the mark. */
  removing: boolean
  /** The current writes; undefined if there are none. */
  running: Promise<void> | undefined
  /** Cancels the next write that is scheduled; undefined if there is none. */
  cancel: (() => void) | undefined
}

const isOpen = ({ calls, waiting }: Entry): boolean => calls > 0 || waiting

/** Makes the in-use marks of this replica, none at first. Close them. */
export const createInUseMarks = (deps: { readonly clock: ClockPort; readonly write: WriteMark }): InUseMarks => {
  const { clock, write } = deps
  const entries = new Map<string, Entry>()
  let closed = false

  const schedule = (entry: Entry, ms: number): void => {
    entry.cancel?.()
    entry.cancel = clock.timer(ms, () => {
      entry.cancel = undefined
      whenDue(entry)
    })
  }

  /**
   * Short calls begin and end while the delay of the first of them runs on: a timer for each of them would cost more
   * than all else that is done here for a call. So the delay of a use counts from its own beginning.
   */
  const whenDue = (entry: Entry): void => {
    if (!isOpen(entry)) return void drop(entry)
    const left = entry.written ? 0 : entry.since + markDelayMs - clock.now()
    if (left > 0) return void schedule(entry, left)
    entry.due = true
    settle(entry)
  }

  const drop = (entry: Entry): void => {
    entry.cancel?.()
    if (entries.get(entry.uid) === entry) entries.delete(entry.uid)
  }

  /** Writes until the object's in-use mark matches the calls and waiting requests here. */
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
    // a call began again while the mark was being removed: `written` is false, so the delay begins again
    schedule(entry, entry.written ? markRenewMs : markDelayMs)
  }

  const settle = (entry: Entry): void => {
    entry.running ??= converge(entry).finally(() => {
      entry.running = undefined
      // calls may have changed since the last check in `converge`
      if (entries.get(entry.uid) === entry && (isOpen(entry) ? entry.due : true)) settle(entry)
    })
  }

  const changed = (entry: Entry, urgent: boolean): void => {
    if (closed) return
    if (!isOpen(entry)) {
      if (!entry.written && entry.running === undefined) return
      entry.cancel?.()
      entry.cancel = undefined
      settle(entry)
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
      since: 0,
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
      if (!isOpen(entry)) entry.since = clock.now()
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
      if (!isOpen(entry)) entry.since = clock.now()
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
