import type { MCPInstance } from "../../api/kinds/mcp-instance.ts"
import type { ClockPort } from "../../ports/clock.ts"
import { acknowledgeDelayMs, drainToAcknowledge } from "../../signals/drain.ts"
import type { InstanceId, Written } from "./in-use.ts"

/** Pause after a write that failed. */
const retryMs = 1_000

/**
 * Writes into `status.drainSeenBy` that this replica starts no new calls during `drain` (its deadline). Never rejects.
 */
export type WriteNotice = (instance: InstanceId, drain: string) => Promise<Written>

/** Acknowledges, in `status.drainSeenBy`, drains that wait for every gateway. */
export type DrainNotices = {
  /** Schedules the acknowledgement if the instance's drain needs one. Call it for each new state of an instance. */
  see(instance: MCPInstance): void
  /** Forgets an instance that was deleted. */
  forget(uid: string): void
  /** Cancels all acknowledgements that are scheduled. */
  close(): void
}

/** Dependencies of {@link createDrainNotices}. */
type DrainNoticeDeps = {
  readonly clock: ClockPort
  /** The newest state of an instance; requests are placed by the same state. */
  readonly find: (name: string) => MCPInstance | undefined
  /**
   * Resolves when the calls that are open here have an in-use mark on the instance; false if it could not be written.
   */
  readonly markCalls: (uid: string) => Promise<boolean>
  readonly write: WriteNotice
}

/** Makes it without any pending acknowledgement. Close it. */
export const createDrainNotices = ({ clock, find, markCalls, write }: DrainNoticeDeps): DrainNotices => {
  /** By UID: the drain that was acknowledged last. */
  const acknowledged = new Map<string, string>()
  /** By UID: cancels the acknowledgement that is scheduled. */
  const pending = new Map<string, () => void>()
  let closed = false

  const unacknowledged = (instance: MCPInstance, uid: string): string | undefined => {
    const drain = drainToAcknowledge(instance)
    return instance.metadata.uid === uid && drain !== acknowledged.get(uid) ? drain : undefined
  }

  /** One try. Writes the in-use mark of open calls first: a reader of the acknowledgement must see them too. */
  const acknowledge = async (id: InstanceId): Promise<Written> => {
    const instance = find(id.name)
    const drain = instance === undefined ? undefined : unacknowledged(instance, id.uid)
    if (drain === undefined) return "gone"
    if (!(await markCalls(id.uid))) return "failed"
    const outcome = await write(id, drain)
    if (outcome === "written") acknowledged.set(id.uid, drain)
    return outcome
  }

  const acknowledgeIn = (ms: number, id: InstanceId): void => {
    const cancel = clock.timer(ms, () => {
      void acknowledge(id).then((outcome) => {
        if (closed || pending.get(id.uid) !== cancel) return
        pending.delete(id.uid)
        const instance = find(id.name)
        if (outcome === "failed") acknowledgeIn(retryMs, id)
        else if (instance !== undefined) see(instance)
      })
    })
    pending.set(id.uid, cancel)
  }

  const see = (instance: MCPInstance): void => {
    const { name, uid = "" } = instance.metadata
    if (!closed && !pending.has(uid) && unacknowledged(instance, uid) !== undefined)
      acknowledgeIn(acknowledgeDelayMs, { name, uid })
  }

  const forget = (uid: string): void => {
    pending.get(uid)?.()
    pending.delete(uid)
    acknowledged.delete(uid)
  }

  return {
    see,
    forget,
    close: () => {
      closed = true
      for (const uid of [...pending.keys()]) forget(uid)
    },
  }
}
