import { portOf } from "../../api/kinds/container.ts"
import { controllerReference } from "../../api/kinds/kind.ts"
import { type Service, serviceKind } from "../../api/kinds/kubernetes.ts"
import type { MCPInstance } from "../../api/kinds/mcp-instance.ts"
import { labels } from "../../api/names.ts"
import type { KeptService } from "../kept.ts"
import { childLabels } from "./pod.ts"

/** The parts of the Service that change with the instance: which Pod it selects, and the port. */
export const serviceRoute = (instance: MCPInstance, pod: string): Service["spec"] => ({
  selector: { [labels.pod]: pod },
  ports: [{ name: "mcp", port: portOf(instance.spec), targetPort: portOf(instance.spec), protocol: "TCP" }],
})

/** The ClusterIP Service of the instance. It selects only this Pod, so that a terminating Pod gets no requests. */
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

/**
 * True if the Service already has this selector and port. Fields that the API server adds (nodePort, appProtocol) do
 * not count. Nor do ports that a webhook adds: the webhook would add them again after each patch.
 */
export const routes = (service: KeptService, wanted: Service["spec"]): boolean => {
  const [want] = wanted.ports ?? []
  const port = service.spec.ports?.find(
    (each) => each.port === want?.port && (each.protocol ?? "TCP") === want.protocol,
  )
  return (
    service.spec.selector?.[labels.pod] === wanted.selector?.[labels.pod] &&
    port !== undefined &&
    port.targetPort === want?.targetPort
  )
}
