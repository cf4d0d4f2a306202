/** Checks of the objects around an instance: what an earlier one of its name left, names that are taken, its Service. */
import { controllerUID, type KubeObject } from "../../api/kinds/kind.ts"
import { desiredService, routes, serviceRoute } from "../desired/service.ts"
import type { Action, Check } from "../snapshot.ts"
import { servedPod } from "../start.ts"

const isTerminating = ({ metadata }: KubeObject): boolean => metadata.deletionTimestamp !== undefined

/** Deletes Pods and Services that an earlier instance of this name left; they are never adopted. */
export const predecessors: Check = ({ left }) => {
  const reason = "LeftByPredecessor"
  const actions: Action[] = [
    ...left.services
      .filter((service) => !isTerminating(service))
      .map((service) => ({ do: "deleteService", service, reason }) as const),
    ...left.pods.filter((pod) => !isTerminating(pod)).map((pod) => ({ do: "deletePod", pod, reason }) as const),
  ]
  return actions.length === 0 ? undefined : { verdict: { actions, quiet: true } }
}

/** Fails if a foreign object has a name that the instance needs. The object is not changed. */
export const nameConflict: Check = ({ instance, serviceNamesake, podNamesake, left }) => {
  const known: readonly KubeObject[] = [...left.services, ...left.pods]
  const isOwn = (object: KubeObject) => controllerUID(object) === instance.metadata.uid || known.includes(object)
  const stranger = [serviceNamesake, podNamesake].find((each) => each !== undefined && !isOwn(each))
  if (stranger === undefined) return undefined
  const message = `The ${stranger.kind} ${stranger.metadata.name} has another owner: remove or rename it.`
  return { verdict: { standing: { ready: false, reason: "NameConflict", message, failed: {} } } }
}

/** Creates the Service, before the Pod: nodes need about a second until they route to it. */
export const missingService: Check = (snapshot) => {
  if (snapshot.service !== undefined || snapshot.serviceNamesake !== undefined) return undefined
  const service = desiredService(snapshot.instance, servedPod(snapshot))
  return { verdict: { actions: [{ do: "createService", service }], quiet: true } }
}

/** Patches a Service that selects another Pod, or has another port. */
export const staleService: Check = (snapshot) => {
  const { service, instance } = snapshot
  const wanted = serviceRoute(instance, servedPod(snapshot))
  if (service === undefined || routes(service, wanted)) return undefined
  return { verdict: { actions: [{ do: "patchService", service, patch: { spec: wanted } }], quiet: true } }
}
