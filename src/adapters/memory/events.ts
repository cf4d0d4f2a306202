import { randomBytes } from "node:crypto"
import { type Event, eventKind } from "../../api/event.ts"
import type { ClockPort } from "../../ports/clock.ts"
import type { EventInput, ObjectRef } from "../../ports/cluster.ts"
import { toRaw, toTime } from "./raw.ts"
import type { Server } from "./server.ts"
import type { Store } from "./store.ts"

/** Equal Events within this time are counted, not repeated. */
const aggregateMs = 10 * 60_000
/** Events are forgotten this long after they last happened, as on an API server. */
const lifeMs = 60 * 60_000
const maxNote = 1024

type Known = ObjectRef & { readonly lastMs: number; readonly count: number }

/** Records Events for one component. */
export type EventRecorder = { record(event: EventInput, component: string): void }

/** Makes a recorder over a store. */
export const createEventRecorder = (store: Store, server: Server, clock: ClockPort): EventRecorder => {
  /** Recorded Events, the one that happened longest ago first. */
  const known = new Map<string, Known>()

  const forgetOld = (now: number): void => {
    for (const [key, { lastMs, namespace, name }] of known) {
      if (now - lastMs < lifeMs) break
      known.delete(key)
      server.delete(eventKind, { namespace, name }, {})
    }
  }

  const add = (input: EventInput, component: string, now: number): ObjectRef => {
    const { apiVersion, kind, metadata } = input.regarding
    const namespace = metadata.namespace ?? "default"
    const name = `${metadata.name}.${randomBytes(8).toString("hex")}`
    const time = toTime(now)
    const event: Event = {
      apiVersion: eventKind.apiVersion,
      kind: eventKind.kind,
      metadata: { name, namespace },
      involvedObject: {
        apiVersion,
        kind,
        namespace,
        name: metadata.name,
        ...(metadata.uid ? { uid: metadata.uid } : {}),
      },
      type: input.type,
      reason: input.reason,
      message: input.note.slice(0, maxNote),
      count: 1,
      firstTimestamp: time,
      lastTimestamp: time,
      source: { component },
    }
    server.create(eventKind, toRaw(event), component)
    return { namespace, name }
  }

  return {
    record: (input, component) => {
      const now = clock.now()
      const { kind, metadata } = input.regarding
      const key = JSON.stringify([component, kind, metadata.uid, metadata.name, input.type, input.reason, input.note])
      const before = known.get(key)
      forgetOld(now)
      if (before !== undefined && now - before.lastMs < aggregateMs && store.find(eventKind, before) !== undefined) {
        const next = { ...before, lastMs: now, count: before.count + 1 }
        server.mergePatch(eventKind, before, { count: next.count, lastTimestamp: toTime(now) }, component)
        known.delete(key)
        known.set(key, next)
        return
      }
      known.delete(key)
      known.set(key, { ...add(input, component, now), lastMs: now, count: 1 })
    },
  }
}
