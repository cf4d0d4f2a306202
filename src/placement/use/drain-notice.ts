import type { MCPInstance } from "../../api/kinds/mcp-instance.ts"
import type { ClockPort } from "../../ports/clock.ts"
import { acknowledgeDelayMs, drainToAcknowledge } from "../../signals/drain.ts"
import type { InstanceId, Written } from "./in-use.ts"

/** Pause after a write that failed. */
const retryMs = 1_000

/** Says in the instance that this replica sends nothing new while `drain` goes on. Never rejects. */
export type WriteNotice = (instance: InstanceId, drain: string) => Promise<Written>

/** This replica's words about drains that end only when every gateway has said that it saw them. */
export type DrainNotices = {
  /** Takes note of an instance's state. */
  see(instance: MCPInstance): void
  /** The instance is gone. */
  forget(uid: string): void
  close(): void
}

/** What saying so needs. */
type DrainNoticeDeps = {
  readonly clock: ClockPort
  /** The instance as it is known now, by which requests are placed. */
  readonly find: (name: string) => MCPInstance | undefined
  /** Resolves when the instance tells of the calls that are open here; false if that could not be written. */
  readonly markCalls: (uid: string) => Promise<boolean>
  readonly write: WriteNotice
}

/** Makes the keeper of these words. Close it. */
export const createDrainNotices = ({ clock, find, markCalls, write }: DrainNoticeDeps): DrainNotices => {
  /** By UID: the drain that was told of last. */
  const said = new Map<string, string>()
  /** By UID: what is under way. */
  const pending = new Map<string, () => void>()
  let closed = false

  const unsaid = (instance: MCPInstance, uid: string): string | undefined => {
    const drain = drainToAcknowledge(instance)
    return instance.metadata.uid === uid && drain !== said.get(uid) ? drain : undefined
  }

  /** One try. The open calls come first: who sees that this replica has seen the drain sees them too. */
  const tell = async (id: InstanceId): Promise<Written> => {
    const instance = find(id.name)
    const drain = instance === undefined ? undefined : unsaid(instance, id.uid)
    if (drain === undefined) return "gone"
    if (!(await markCalls(id.uid))) return "failed"
    const outcome = await write(id, drain)
    if (outcome === "written") said.set(id.uid, drain)
    return outcome
  }

  const tellIn = (ms: number, id: InstanceId): void => {
    const cancel = clock.timer(ms, () => {
      void tell(id).then((outcome) => {
        if (closed || pending.get(id.uid) !== cancel) return
        pending.delete(id.uid)
        const instance = find(id.name)
        if (outcome === "failed") tellIn(retryMs, id)
        else if (instance !== undefined) see(instance)
      })
    })
    pending.set(id.uid, cancel)
  }

  const see = (instance: MCPInstance): void => {
    const { name, uid = "" } = instance.metadata
    if (!closed && !pending.has(uid) && unsaid(instance, uid) !== undefined) tellIn(acknowledgeDelayMs, { name, uid })
  }

  const forget = (uid: string): void => {
    pending.get(uid)?.()
    pending.delete(uid)
    said.delete(uid)
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
