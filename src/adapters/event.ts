import { type Event, eventKind } from "../api/kinds/kubernetes.ts"
import type { EventInput, ObjectRef } from "../ports/cluster.ts"

/** Equal Events within this time are counted on the first one, not repeated. */
export const equalForMs = 10 * 60_000

/** The API server refuses a longer message. */
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

/** The Event, under the name `ref`, of something that happened once, at `time` (RFC 3339), as `component` tells it. */
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
