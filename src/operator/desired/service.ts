import { controllerReference } from "../../api/kind.ts"
import { labels } from "../../api/labels.ts"
import type { MCPInstance } from "../../api/mcp-instance.ts"
import { type Service, serviceKind } from "../../api/service.ts"
import { childLabels } from "./pod.ts"

/** The parts of the Service that follow the instance: which Pod it selects, and the port. */
export const serviceRoute = (instance: MCPInstance, pod: string): Service["spec"] => ({
  selector: { [labels.pod]: pod },
  ports: [{ name: "mcp", port: instance.spec.port, targetPort: instance.spec.port, protocol: "TCP" }],
})

/** The ClusterIP Service in front of the instance's Pod: of that Pod alone, so that a terminating one gets nothing. */
export const desiredService = (instance: MCPInstance, pod: string): Service => ({
  apiVersion: serviceKind.apiVersion,
  kind: serviceKind.kind,
  metadata: {
    name: instance.metadata.name,
    ...(instance.metadata.namespace === undefined ? {} : { namespace: instance.metadata.namespace }),
    labels: childLabels(instance),
    ownerReferences: [controllerReference(instance)],
  },
  spec: { type: "ClusterIP", ...serviceRoute(instance, pod) },
})

/** True if the Service already routes so. Fields that the API server adds (nodePort, appProtocol) do not count. */
export const routes = (service: Service, wanted: Service["spec"]): boolean => {
  const [port] = service.spec.ports ?? []
  const [want] = wanted.ports ?? []
  return (
    service.spec.selector?.[labels.pod] === wanted.selector?.[labels.pod] &&
    service.spec.ports?.length === 1 &&
    port?.port === want?.port &&
    port?.targetPort === want?.targetPort
  )
}
