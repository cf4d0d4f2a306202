import { createHash, randomBytes } from "node:crypto"
import { type Event, eventKind } from "../../api/event.ts"
import { toKubeTime } from "../../api/kube-time.ts"
import { hasCode } from "../../errors.ts"
import type { ClockPort } from "../../ports/clock.ts"
import type { CallOptions, EventInput, ObjectRef } from "../../ports/cluster.ts"
import type { ObjectCalls } from "./objects.ts"

/** An Event that was written lately: an equal one is counted on it. */
type Written = { readonly ref: ObjectRef; readonly at: number; readonly times: number }

const windowMs = 10 * 60_000
const maxKept = 1_000
const maxNote = 1_024

const keyOf = ({ regarding, type, reason, note }: EventInput): string =>
  createHash("sha256")
    .update([regarding.kind, regarding.metadata.uid ?? "", regarding.metadata.name, type, reason, note].join("\0"))
    .digest("hex")
    .slice(0, 16)

const involved = ({ regarding }: EventInput): Event["involvedObject"] => {
  const { name, namespace, uid } = regarding.metadata
  return {
    apiVersion: regarding.apiVersion,
    kind: regarding.kind,
    name,
    ...(namespace === undefined ? {} : { namespace }),
    ...(uid === undefined ? {} : { uid }),
  }
}

const toEvent = (input: EventInput, name: string, time: string, component: string): Event => ({
  apiVersion: eventKind.apiVersion,
  kind: eventKind.kind,
  metadata: { name, namespace: input.regarding.metadata.namespace ?? "default" },
  involvedObject: involved(input),
  type: input.type,
  reason: input.reason,
  message: input.note.slice(0, maxNote),
  count: 1,
  firstTimestamp: time,
  lastTimestamp: time,
  source: { component },
})

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
    if (known !== undefined && now - known.at < windowMs && (await count(known, options)))
      return keep(key, { ...known, at: now, times: known.times + 1 })
    const name = `${input.regarding.metadata.name}.${key}${randomBytes(4).toString("hex")}`
    const event = toEvent(input, name, toKubeTime(now), component)
    await objects.create(eventKind, event, options)
    keep(key, { ref: { namespace: event.metadata.namespace ?? "", name }, at: now, times: 1 })
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
