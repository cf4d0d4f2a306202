import { randomBytes } from "node:crypto"
import { eventKind } from "../../api/kinds/kubernetes.ts"
import type { ClockPort } from "../../ports/clock.ts"
import type { EventInput, ObjectRef } from "../../ports/cluster.ts"
import { equalForMs, toEvent } from "../event.ts"
import { toRaw, toTime } from "./raw.ts"
import type { Server } from "./server.ts"
import type { Store } from "./store.ts"

/** Events are deleted this long after their last occurrence, milliseconds, as on an API server. */
const ttlMs = 60 * 60_000

type Known = ObjectRef & { readonly key: string; readonly lastMs: number; readonly count: number }

/** Records Events for one component. */
export type EventRecorder = { record(event: EventInput, component: string): void }

/** The key of an Event: two Events are equal if their keys are. */
const keyOf = ({ regarding, type, reason, note }: EventInput, component: string): string =>
  JSON.stringify([component, regarding.kind, regarding.metadata.uid, regarding.metadata.name, type, reason, note])

/** Makes a recorder over a store. */
export const createEventRecorder = (store: Store, server: Server, clock: ClockPort): EventRecorder => {
  /** Events by name, the oldest last occurrence first. */
  const known = new Map<string, Known>()
  /** Name of the last Event of each key. */
  const latest = new Map<string, string>()

  const keep = (event: Known): void => {
    known.delete(event.name)
    known.set(event.name, event)
    latest.set(event.key, event.name)
  }
  const forgetOld = (now: number): void => {
    for (const event of known.values()) {
      if (now - event.lastMs < ttlMs) break
      known.delete(event.name)
      if (latest.get(event.key) === event.name) latest.delete(event.key)
      server.delete(eventKind, event, {})
    }
  }

  return {
    record: (input, component) => {
      const now = clock.now()
      forgetOld(now)
      const key = keyOf(input, component)
      const before = known.get(latest.get(key) ?? "")
      if (before !== undefined && now - before.lastMs < equalForMs && store.find(eventKind, before) !== undefined) {
        const next = { ...before, lastMs: now, count: before.count + 1 }
        server.mergePatch(eventKind, before, { count: next.count, lastTimestamp: toTime(now) }, component)
        return keep(next)
      }
      const { metadata } = input.regarding
      const name = `${metadata.name}.${randomBytes(8).toString("hex")}`
      const ref = { namespace: metadata.namespace ?? "default", name }
      server.create(eventKind, toRaw(toEvent(input, ref, toTime(now), component)), component, false)
      keep({ ...ref, key, lastMs: now, count: 1 })
    },
  }
}
