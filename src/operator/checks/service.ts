import { desiredService, routes, serviceRoute } from "../desired/service.ts"
import type { Check } from "../snapshot.ts"
import { servedPod } from "../start.ts"

/** The Service comes first: the nodes need about a second to route to it. */
export const missingService: Check = (snapshot) => {
  if (snapshot.service !== undefined || snapshot.serviceNamesake !== undefined) return undefined
  const service = desiredService(snapshot.instance, servedPod(snapshot))
  return { actions: [{ do: "createService", service }], quiet: true }
}

/** The Service selects another Pod, or has another port. */
export const staleService: Check = (snapshot) => {
  const { service, instance } = snapshot
  const wanted = serviceRoute(instance, servedPod(snapshot))
  if (service === undefined || routes(service, wanted)) return undefined
  return { actions: [{ do: "patchService", service, patch: { spec: wanted } }], quiet: true }
}
