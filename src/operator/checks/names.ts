import { controllerUID, type KubeObject } from "../../api/kind.ts"
import type { Action, Check } from "../snapshot.ts"

const isTerminating = ({ metadata }: KubeObject): boolean => metadata.deletionTimestamp !== undefined

/** What an earlier instance of this name left is in the way: its children are never adopted. */
export const predecessors: Check = ({ left }) => {
  const reason = "LeftByPredecessor"
  const actions: Action[] = [
    ...left.services
      .filter((service) => !isTerminating(service))
      .map((service) => ({ do: "deleteService", service, reason }) as const),
    ...left.pods.filter((pod) => !isTerminating(pod)).map((pod) => ({ do: "deletePod", pod, reason }) as const),
  ]
  return actions.length === 0 ? undefined : { actions, quiet: true }
}

/** A name that the instance needs is taken by an object of somebody else, which stays untouched. */
export const nameConflict: Check = ({ instance, serviceNamesake, podNamesake, left }) => {
  const known: readonly KubeObject[] = [...left.services, ...left.pods]
  const isOwn = (object: KubeObject) => controllerUID(object) === instance.metadata.uid || known.includes(object)
  const stranger = [serviceNamesake, podNamesake].find((each) => each !== undefined && !isOwn(each))
  if (stranger === undefined) return undefined
  const message = `The ${stranger.kind} ${stranger.metadata.name} belongs to somebody else: remove or rename it.`
  return { standing: { ready: false, reason: "NameConflict", message, failed: {} } }
}
