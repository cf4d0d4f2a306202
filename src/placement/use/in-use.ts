import type { ClockPort } from "../../ports/clock.ts"
import { markDelayMs, markRenewMs } from "../../signals/in-use.ts"

/** Pause after a write that failed. */
const retryMs = 5_000
/**
 * How long {@link InUseMarks.close} may take. An in-use mark that could not be removed expires on the operator's side.
 */
const closeMs = 2_000
/**
 * How long after the last request has waited the mark is removed. The requests that waited are mostly sent then, as
 * calls that need the mark: it would otherwise be removed and written again.
 */
const handoverMs = 250
/**
 * How long a wait lasts before a gateway writes its mark that has not created the instance: meanwhile the mark of the
 * one that has is there. A new instance counts as in use for longer (`freshMs` of signals/in-use.ts).
 */
const joinDelayMs = 4_000
/**
 * How long the mark of another gateway spares a gateway its own while requests only wait here: a bit longer than the
 * time after which that mark must have been renewed. Calls have a mark of their gateway's own in any case, since a lost
 * mark would cut them; a lost wait begins again with another instance.
 */
const coverMs = markRenewMs + 5_000

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
  /** Tells that this gateway has created the instance: then it is the first to write that requests wait for it. */
  lead(uid: string): void
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
  /** True if this gateway has created the instance. */
  leads: boolean
  /** The marks of other gateways when our own was due last; undefined if there were none. */
  others: string | undefined
  /** True if the object has our in-use mark, by the last write. */
  written: boolean
  /** When it was written last, milliseconds since the epoch. */
  writtenAt: number
  /** True if the mark must be written now. */
  due: boolean
  /** True if the current write removes the mark. */
  removing: boolean
  /** The current writes; undefined if there are none. */
  running: Promise<void> | undefined
  /** Cancels the next write that is scheduled; undefined if there is none. */
  cancel: (() => void) | undefined
  /** True if that write is later than a call could wait for it. */
  late: boolean
}

const isOpen = ({ calls, waiting }: Entry): boolean => calls > 0 || waiting

/** When our mark must be written, milliseconds since the epoch. */
const dueAt = ({ written, writtenAt, since, calls, leads }: Entry): number => {
  if (written) return writtenAt + markRenewMs
  return since + (calls > 0 || leads ? markDelayMs : joinDelayMs)
}

/** Dependencies of the marks. */
type InUseDeps = {
  readonly clock: ClockPort
  readonly write: WriteMark
  /** The marks of other gateways on an instance, in any form that changes with them; undefined if there are none. */
  readonly others?: (instance: InstanceId) => string | undefined
}

/** Makes the in-use marks of this replica, none at first. Close them. */
export const createInUseMarks = (deps: InUseDeps): InUseMarks => {
  const { clock, write, others = () => undefined } = deps
  const entries = new Map<string, Entry>()
  let closed = false

  const schedule = (entry: Entry, ms: number): void => {
    entry.cancel?.()
    entry.late = ms > markDelayMs
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
    const left = dueAt(entry) - clock.now()
    if (!isOpen(entry) && !entry.written) drop(entry)
    else if (isOpen(entry) && left > 0) schedule(entry, left)
    else if (isOpen(entry) && isCovered(entry)) schedule(entry, coverMs)
    else {
      entry.due = isOpen(entry)
      settle(entry)
    }
  }

  /** True if requests only wait, and another gateway's mark is new since this was asked last. */
  const isCovered = (entry: Entry): boolean => {
    if (entry.written || entry.calls > 0) return false
    const before = entry.others
    entry.others = others(entry)
    return entry.others !== undefined && entry.others !== before
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
      if (outcome === "failed") return open && !closed ? retry(entry) : drop(entry)
      entry.written = open
      entry.writtenAt = clock.now()
    }
    if (!isOpen(entry)) return drop(entry)
    // a call began again while the mark was being removed: `written` is false, so the delay begins again
    schedule(entry, entry.written ? markRenewMs : markDelayMs)
  }

  const retry = (entry: Entry): void => {
    schedule(entry, retryMs)
    // a call that begins meanwhile does not make it sooner
    entry.late = false
  }

  const settle = (entry: Entry): void => {
    entry.running ??= converge(entry).finally(() => {
      entry.running = undefined
      // calls may have changed since the last check in `converge`
      if (entries.get(entry.uid) === entry && (isOpen(entry) ? entry.due : true)) settle(entry)
    })
  }

  const changed = (entry: Entry, urgent: boolean, handsOver = false): void => {
    if (closed) return
    if (!isOpen(entry)) {
      if (!entry.written && entry.running === undefined) return
      entry.cancel?.()
      entry.cancel = undefined
      if (handsOver && entry.running === undefined) schedule(entry, handoverMs)
      else settle(entry)
    } else if (entry.running !== undefined) entry.due ||= urgent && entry.removing
    else if (entry.written) return
    else if (urgent) {
      entry.due = true
      settle(entry)
    } else if (entry.cancel === undefined || (entry.late && entry.calls > 0)) schedule(entry, markDelayMs)
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
      leads: false,
      others: undefined,
      written: false,
      writtenAt: 0,
      due: false,
      removing: false,
      running: undefined,
      cancel: undefined,
      late: false,
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
      changed(entry, urgent, !waiting)
    },
    lead: (uid) => {
      const entry = entries.get(uid)
      if (entry === undefined) return
      entry.leads = true
      if (entry.late && isOpen(entry) && !entry.written && entry.running === undefined) whenDue(entry)
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
