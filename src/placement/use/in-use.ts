import { type ClockPort, leftOf } from "../../ports/clock.ts"
import { markDelayMs, markRenewMs } from "../../signals/in-use.ts"
import { firstMarks, hasOtherMark, type Marks, nextMarks, type SeenMarks } from "./other-marks.ts"

/** Pause after a write that failed. */
const retryMs = 5_000
/**
 * How long requests wait before a gateway writes a mark that did not create the instance, milliseconds. The mark of the
 * gateway that did is written {@link markDelayMs} after the wait began, and has three seconds to arrive. A new instance
 * counts as in use for longer (`freshMs`).
 */
const followDelayMs = 3 * markDelayMs
/**
 * How long a call after a wait may go on without a mark of its own while another gateway has one, milliseconds. Less
 * than the shortest idle TTL, and less than a drain waits for a gateway's acknowledgement.
 */
const relyMs = 4 * markDelayMs
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
 *
 * For waiting requests the mark of one gateway is enough: while another gateway has its mark on the instance, this one
 * writes none. The other gateway's removal of its mark counts as use, so this one then has a whole delay for its own.
 * The calls that follow a wait may rely on the other mark too, but for {@link relyMs} only. A mark written for a wait
 * stays for these calls.
 */
export type InUseMarks = {
  /** Counts an open call on an instance until the returned function is called; calling it twice is harmless. */
  beginCall(instance: InstanceId): () => void
  /**
   * Sets whether requests that wait for the instance count as use. `urgent`: write the in-use mark at once, without the
   * delay.
   */
  setWaiting(instance: InstanceId, waiting: boolean, urgent: boolean): void
  /** No request waits any more: those that waited begin their calls next, and the mark stays for these. */
  endWait(uid: string): void
  /** This gateway has created the instance: for requests that wait it writes its mark before other gateways do. */
  lead(uid: string): void
  /**
   * Writes the in-use mark of a draining instance at once if calls are open, and removes it at once if nothing is.
   * Resolves with true if the object now has the mark, or if no calls are open.
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
  /** From when the delay of the mark counts, milliseconds since the epoch: when the use began that has gone on since. */
  since: number
  /** When the first of the open calls began, milliseconds since the epoch. */
  callsSince: number
  /** Delay of the mark while requests only wait, milliseconds. */
  waitDelayMs: number
  /** The marks of other gateways, as seen since requests began to wait; undefined if none have waited. */
  others: SeenMarks | undefined
  /** When the mark was written that the object has; milliseconds since the epoch. Undefined = it has none of ours. */
  writtenAt: number | undefined
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

const isMarked = ({ writtenAt }: Entry): boolean => writtenAt !== undefined

const delayOf = ({ calls, waitDelayMs }: Entry): number => (calls > 0 ? markDelayMs : waitDelayMs)

/** Dependencies of the in-use marks. */
type MarkDeps = {
  readonly clock: ClockPort
  readonly write: WriteMark
  /** The marks of all gateways on an instance, as `status.inUseBy`; undefined if the instance is not known. */
  readonly marksOn: (instance: InstanceId) => Marks | undefined
  /** This gateway's name in `inUseBy`. */
  readonly replica: string
}

/** Makes the in-use marks of this replica, none at first. Close them. */
export const createInUseMarks = (deps: MarkDeps): InUseMarks => {
  const { clock, write, marksOn, replica } = deps
  const entries = new Map<string, Entry>()
  let closed = false

  const schedule = (entry: Entry, ms: number): void => {
    entry.cancel?.()
    if (closed) return
    entry.cancel = clock.timer(ms, () => {
      entry.cancel = undefined
      whenDue(entry)
    })
  }

  /** Begins the delay of the mark now. */
  const beginDelay = (entry: Entry): void => {
    entry.since = clock.now()
    schedule(entry, delayOf(entry))
  }

  const othersSuffice = (entry: Entry): boolean => {
    const now = clock.now()
    if (entry.others === undefined || (entry.calls > 0 && leftOf(entry.callsSince, relyMs, now) === 0)) return false
    entry.others = nextMarks(entry.others, marksOn(entry) ?? {}, replica, now)
    return hasOtherMark(entry.others, now)
  }

  /**
   * Short calls begin and end while the delay of the first of them runs on: a timer for each of them would cost more
   * than all else that is done here for a call. So the delay of a use counts from its own beginning.
   */
  const whenDue = (entry: Entry): void => {
    if (!isOpen(entry)) return void (isMarked(entry) ? settle(entry) : drop(entry))
    const { since, writtenAt } = entry
    const now = clock.now()
    const left = writtenAt === undefined ? leftOf(since, delayOf(entry), now) : leftOf(writtenAt, markRenewMs, now)
    if (left > 0) return void schedule(entry, left)
    if (!isMarked(entry) && othersSuffice(entry)) return void beginDelay(entry)
    entry.due = true
    settle(entry)
  }

  const drop = (entry: Entry): void => {
    entry.cancel?.()
    if (entries.get(entry.uid) === entry) entries.delete(entry.uid)
  }

  /** Writes until the object's in-use mark matches the calls and waiting requests here. */
  const converge = async (entry: Entry): Promise<void> => {
    while (isOpen(entry) ? entry.due : isMarked(entry)) {
      const open = isOpen(entry)
      entry.due = false
      entry.removing = !open
      const outcome = await write(entry, open)
      if (outcome === "gone") return drop(entry)
      if (outcome === "failed") return open && !closed ? schedule(entry, retryMs) : drop(entry)
      entry.writtenAt = open ? clock.now() : undefined
    }
    if (!isOpen(entry)) return drop(entry)
    // a call began again while the mark was being removed: the delay begins again
    schedule(entry, isMarked(entry) ? markRenewMs : delayOf(entry))
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
      if (!isMarked(entry) && entry.running === undefined) return
      entry.cancel?.()
      entry.cancel = undefined
      settle(entry)
    } else if (entry.running !== undefined) entry.due ||= urgent && entry.removing
    else if (isMarked(entry)) return
    else if (urgent) {
      entry.due = true
      settle(entry)
    } else if (entry.cancel === undefined) schedule(entry, delayOf(entry))
  }

  /**
   * Keeps the entry for the calls that may follow a wait, with the delay of a call; then whenDue removes it, and the
   * mark.
   */
  const keep = (entry: Entry): void => {
    if (!isOpen(entry) && entry.running === undefined) schedule(entry, markDelayMs)
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
      callsSince: 0,
      waitDelayMs: followDelayMs,
      others: undefined,
      writtenAt: undefined,
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
      if (entry.calls === 0) entry.since = entry.callsSince = clock.now()
      entry.calls++
      // the delay of a wait may be longer than a call may go on without a mark
      if (entry.calls === 1 && entry.waiting && !isMarked(entry)) beginDelay(entry)
      changed(entry, false)
      let ended = false
      return () => {
        if (ended) return
        ended = true
        entry.calls = Math.max(0, entry.calls - 1)
        if (isOpen(entry)) return
        // later calls do not follow a wait
        entry.others = undefined
        changed(entry, false)
      }
    },
    setWaiting: (instance, waiting, urgent) => {
      const known = entries.get(instance.uid)
      if (known === undefined && !waiting) return
      const entry = known ?? entryOf(instance)
      if (entry.waiting === waiting && !urgent) return
      if (!isOpen(entry)) entry.since = clock.now()
      if (waiting && !entry.waiting) entry.others = firstMarks(marksOn(instance) ?? {}, replica)
      entry.waiting = waiting
      changed(entry, urgent)
      if (!isMarked(entry)) keep(entry)
    },
    endWait: (uid) => {
      const entry = entries.get(uid)
      if (entry?.waiting !== true) return
      entry.waiting = false
      keep(entry)
    },
    lead: (uid) => {
      const entry = entries.get(uid)
      if (entry === undefined) return
      entry.waitDelayMs = markDelayMs
      if (entry.cancel !== undefined) whenDue(entry)
    },
    hurry: async (uid) => {
      const entry = entries.get(uid)
      if (entry === undefined) return true
      if (!isOpen(entry) && isMarked(entry)) settle(entry)
      if (entry.calls === 0) return true
      changed(entry, true)
      await entry.running
      return isMarked(entry) || entry.calls === 0
    },
    forget: (uid) => {
      const entry = entries.get(uid)
      if (entry !== undefined) drop(entry)
    },
    close,
  }
}
