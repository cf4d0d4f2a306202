import { type Event, eventKind } from "../api/kinds/kubernetes.ts"
import type { EventInput, ObjectRef } from "../ports/cluster.ts"

/** An equal Event within this time, milliseconds, raises the count of the first Event instead of making another. */
export const equalForMs = 10 * 60_000

/** Most characters of an Event's message; the API server refuses longer ones. */
const maxNote = 1_024

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

/** A new Event with count 1, named `ref`, from `component`, that happened at `time` (RFC 3339). */
export const toEvent = (input: EventInput, ref: ObjectRef, time: string, component: string): Event => ({
  apiVersion: eventKind.apiVersion,
  kind: eventKind.kind,
  metadata: ref,
  involvedObject: involved(input),
  type: input.type,
  reason: input.reason,
  message: input.note.slice(0, maxNote),
  count: 1,
  firstTimestamp: time,
  lastTimestamp: time,
  source: { component },
})
