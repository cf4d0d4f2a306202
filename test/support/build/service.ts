import { portOf } from "../../../src/api/kinds/container.ts"
import { controllerReference, type ObjectMeta } from "../../../src/api/kinds/kind.ts"
import type { Service } from "../../../src/api/kinds/kubernetes.ts"
import type { MCPInstance } from "../../../src/api/kinds/mcp-instance.ts"
import { labels } from "../../../src/api/names.ts"
import { anInstance } from "./instance.ts"
import { metadata } from "./metadata.ts"

/** What a test says of a Service; the rest is the Service of an instance that selects no Pod yet. */
export type ServiceParts = {
  readonly of?: MCPInstance
  readonly metadata?: Partial<ObjectMeta>
  readonly pod?: string
  readonly clusterIP?: string
}

/** The Service of an instance. */
export const aService = ({
  of = anInstance(),
  metadata: more,
  pod = "none",
  clusterIP = "10.96.0.7",
}: ServiceParts = {}): Service => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: metadata(of.metadata.name, {
    uid: `uid-service-${of.metadata.name}`,
    ownerReferences: [controllerReference(of)],
    ...more,
  }),
  spec: {
    type: "ClusterIP",
    clusterIP,
    selector: { [labels.pod]: pod },
    ports: [{ name: "mcp", port: portOf(of.spec), targetPort: portOf(of.spec), protocol: "TCP" }],
  },
})
