import { createHash } from "node:crypto"
import { type Event, eventKind } from "../../api/event.ts"
import { hasCode } from "../../errors.ts"
import type { ClockPort } from "../../ports/clock.ts"
import type { CallOptions, EventInput } from "../../ports/cluster.ts"
import type { ObjectCalls } from "./objects.ts"

/** An Event that was written lately: an equal one is counted on it. */
type Written = { readonly name: string; readonly firstTimestamp: string; count: number; lastAt: number }

const windowMs = 10 * 60_000
const maxKept = 1_000

const keyOf = ({ regarding, type, reason, note }: EventInput): string =>
  createHash("sha256")
    .update([regarding.metadata.uid ?? "", type, reason, note].join("\0"))
    .digest("hex")
    .slice(0, 16)

const toTime = (ms: number): string => new Date(ms).toISOString().replace(/\.\d{3}Z$/, "Z")

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

/** Makes the function that records Events; equal ones within ten minutes become a count on the first. */
export const createEventRecorder = (objects: ObjectCalls, clock: ClockPort, component: string) => {
  const written = new Map<string, Written>()

  const again = async (namespace: string, event: Written, options?: CallOptions): Promise<boolean> => {
    event.count += 1
    event.lastAt = clock.now()
    try {
      const patch = { count: event.count, lastTimestamp: toTime(event.lastAt) }
      await objects.mergePatch(eventKind, { namespace, name: event.name }, patch, options)
      return true
    } catch (error) {
      // Events are kept for an hour only
      if (hasCode(error, "ApiNotFound")) return false
      throw error
    }
  }

  return async (input: EventInput, options?: CallOptions): Promise<void> => {
    const namespace = input.regarding.metadata.namespace ?? ""
    const key = keyOf(input)
    const now = clock.now()
    const known = written.get(key)
    if (known !== undefined && now - known.lastAt < windowMs && (await again(namespace, known, options))) return
    const name = `${input.regarding.metadata.name}.${key}${Math.floor(now).toString(16)}`
    const firstTimestamp = toTime(now)
    written.delete(key)
    written.set(key, { name, firstTimestamp, count: 1, lastAt: now })
    if (written.size > maxKept) written.delete(written.keys().next().value ?? "")
    const event: Event = {
      apiVersion: "v1",
      kind: "Event",
      metadata: { name, namespace },
      involvedObject: involved(input),
      type: input.type,
      reason: input.reason,
      message: input.note.slice(0, 1024),
      count: 1,
      firstTimestamp,
      lastTimestamp: firstTimestamp,
      source: { component },
    }
    await objects.create(eventKind, event, options)
  }
}
