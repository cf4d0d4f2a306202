import { findCondition } from "../api/kinds/kind.ts"
import type { MCPInstanceStatus } from "../api/kinds/mcp-instance.ts"
import type { EventReason, ReadyReason } from "./reasons.ts"
import type { Action, Note } from "./snapshot.ts"

const normal = (reason: EventReason, note: string): Note => ({ type: "Normal", reason, note })
const warning = (reason: string, note: string): Note => ({ type: "Warning", reason, note })

/** The Event of an action that was carried out; undefined if it has none. */
export const noteOf = (action: Action): Note | undefined => {
  switch (action.do) {
    case "createPod":
      return normal("PodCreated", `Created the Pod ${action.pod.metadata.name}.`)
    case "deletePod":
      return normal("PodDeleted", `Deleted the Pod ${action.pod.metadata.name} (${action.reason}).`)
    case "deleteService":
      return normal("ServiceDeleted", `Deleted the Service ${action.service.metadata.name} (${action.reason}).`)
    case "deleteInstance":
      return normal(action.reason, `Deleted the instance: ${action.message}`)
    default:
      return undefined
  }
}

type Transition = (before: MCPInstanceStatus, after: MCPInstanceStatus) => Note | undefined

/** Reason and message of a condition that has turned to `status`, or has it for another reason; else undefined. */
const turned =
  (type: string, status: string): ((...states: Parameters<Transition>) => readonly [string, string] | undefined) =>
  (before, after) => {
    const old = findCondition(before.conditions, type)
    const now = findCondition(after.conditions, type)
    if (now?.status !== status || (old?.status === status && old.reason === now.reason)) return undefined
    return [now.reason, now.message]
  }

const refused = turned("Admitted", "False")
const ready = turned("Ready", "True")
const drains = turned("Draining", "True")
const waits = turned("Ready", "False")

/** Reasons of Ready=False that are recorded as an Event before the start fails, since a person may have to act. */
const worthAnEvent: readonly string[] = [
  "Unschedulable",
  "PortClosed",
  "NotReady",
  "InitContainerNotReady",
  "ContainerNotReady",
  "ReadinessGate",
  "NodeNotReady",
  "BridgeNotMounted",
  "ReconcileFailed",
] satisfies readonly ReadyReason[]

const transitions: readonly Transition[] = [
  (before, after) => {
    const found = refused(before, after)
    return found === undefined ? undefined : warning(...found)
  },
  (before, after) => (ready(before, after) === undefined ? undefined : normal("Ready", "The server takes requests.")),
  (before, after) => {
    const found = drains(before, after)
    return found === undefined ? undefined : normal("Draining", `${found[0]}: ${found[1]}`)
  },
  (before, after) => {
    const found = waits(before, after)
    return found === undefined || !worthAnEvent.includes(found[0]) ? undefined : warning(...found)
  },
  ({ failure: old }, { failure }) =>
    failure === undefined || old?.reason === failure.reason ? undefined : warning(failure.reason, failure.message),
]

/** The Events for a change of status, one for each reason; none if the status has not changed. */
export const notesOf = (before: MCPInstanceStatus, after: MCPInstanceStatus): readonly Note[] => {
  const notes = transitions.flatMap((transition) => transition(before, after) ?? [])
  return notes.filter((note, index) => notes.findIndex(({ reason }) => reason === note.reason) === index)
}
