import { createHash, randomBytes } from "node:crypto"
import { eventKind } from "../../api/event.ts"
import { toKubeTime } from "../../api/kube-time.ts"
import { hasCode } from "../../errors.ts"
import type { ClockPort } from "../../ports/clock.ts"
import type { CallOptions, EventInput, ObjectRef } from "../../ports/cluster.ts"
import { equalForMs, toEvent } from "../event.ts"
import type { ObjectCalls } from "./objects.ts"

/** An Event that was written lately: an equal one is counted on it. */
type Written = { readonly ref: ObjectRef; readonly at: number; readonly times: number }

const maxKept = 1_000

const keyOf = ({ regarding, type, reason, note }: EventInput): string =>
  createHash("sha256")
    .update([regarding.kind, regarding.metadata.uid ?? "", regarding.metadata.name, type, reason, note].join("\0"))
    .digest("hex")
    .slice(0, 16)

/** Makes the function that records Events; equal ones within ten minutes become a count on the first. */
export const createEventRecorder = (objects: ObjectCalls, clock: ClockPort, component: string) => {
  /** What was written of each key, the one that is longest ago first. */
  const written = new Map<string, Written>()
  /** The last write of each key that has not ended: equal Events wait for each other, or each would be a first one. */
  const pending = new Map<string, Promise<void>>()

  /** Counts one more on an Event; false if that is gone: the API server keeps them for an hour. */
  const count = async ({ ref, times }: Written, options?: CallOptions): Promise<boolean> => {
    try {
      const patch = { count: times + 1, lastTimestamp: toKubeTime(clock.now()) }
      await objects.mergePatch(eventKind, ref, patch, options)
      return true
    } catch (error) {
      if (hasCode(error, "ApiNotFound")) return false
      throw error
    }
  }
  const keep = (key: string, event: Written): void => {
    written.delete(key)
    written.set(key, event)
    if (written.size > maxKept) written.delete(written.keys().next().value ?? "")
  }
  const write = async (key: string, input: EventInput, options?: CallOptions): Promise<void> => {
    const now = clock.now()
    const known = written.get(key)
    if (known !== undefined && now - known.at < equalForMs && (await count(known, options)))
      return keep(key, { ...known, at: now, times: known.times + 1 })
    const { name, namespace = "default" } = input.regarding.metadata
    const ref = { namespace, name: `${name}.${key}${randomBytes(4).toString("hex")}` }
    await objects.create(eventKind, toEvent(input, ref, toKubeTime(now), component), options)
    keep(key, { ref, at: now, times: 1 })
  }

  return async (input: EventInput, options?: CallOptions): Promise<void> => {
    const key = keyOf(input)
    const before = pending.get(key) ?? Promise.resolve()
    const writing = before.catch(() => {}).then(() => write(key, input, options))
    pending.set(key, writing)
    try {
      await writing
    } finally {
      if (pending.get(key) === writing) pending.delete(key)
    }
  }
}
