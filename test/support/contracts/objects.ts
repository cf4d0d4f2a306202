import type { KubeObject, OwnerReference } from "../../../src/api/kinds/kind.ts"
import type { Secret, Service } from "../../../src/api/kinds/kubernetes.ts"
import type { MCPInstance } from "../../../src/api/kinds/mcp-instance.ts"
import type { MCPTarget } from "../../../src/api/kinds/mcp-target.ts"
import type { Container, Pod } from "../../../src/api/kinds/pod.ts"

type Meta = Partial<MCPTarget["metadata"]> & { readonly name: string; readonly namespace: string }

/** A target that needs nothing. `spec` is laid over; undefined removes. */
export const targetOf = (metadata: Meta, spec: Readonly<Record<string, unknown>> = {}): MCPTarget =>
  ({
    apiVersion: "mcp.reflow.io/v1alpha1",
    kind: "MCPTarget",
    metadata,
    spec: { image: "example.test/server:1", port: 8080, ...spec },
  }) as unknown as MCPTarget

/** An instance as a person would write it by hand. */
export const instanceOf = (metadata: Meta, spec: Readonly<Record<string, unknown>> = {}): MCPInstance =>
  ({
    apiVersion: "mcp.reflow.io/v1alpha1",
    kind: "MCPInstance",
    metadata,
    spec: { image: "example.test/server:1", port: 8080, targetName: "target", subjectKey: "user:abc123", ...spec },
  }) as unknown as MCPInstance

/** A Secret with one value, in base64. */
export const secretOf = (metadata: Meta, rest: Partial<Secret> = {}): Secret => ({
  apiVersion: "v1",
  kind: "Secret",
  metadata,
  data: { TOKEN: "b25l" },
  ...rest,
})

/** A Service without a selector's match. */
export const serviceOf = (metadata: Meta): Service => ({
  apiVersion: "v1",
  kind: "Service",
  metadata,
  spec: { selector: { "test.example/pod": "none" }, ports: [{ port: 8080, targetPort: 8080, protocol: "TCP" }] },
})

const restricted: Partial<Container> = {
  securityContext: {
    allowPrivilegeEscalation: false,
    capabilities: { drop: ["ALL"] },
    runAsNonRoot: true,
    runAsUser: 65532,
    seccompProfile: { type: "RuntimeDefault" },
  },
}

/** A Pod that no scheduler can place; `nodeName` puts it on a node that does not exist. */
export const podOf = (metadata: Meta, nodeName?: string): Pod => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata,
  spec: {
    containers: [{ name: "mcp", image: "example.test/server:1", ...restricted }],
    automountServiceAccountToken: false,
    terminationGracePeriodSeconds: 10,
    nodeSelector: { "test.example/node": "nowhere" },
    ...(nodeName === undefined ? {} : { nodeName }),
  },
})

/** The reference of a plain owner. */
export const ownedBy = (owner: KubeObject): OwnerReference => ({
  apiVersion: owner.apiVersion,
  kind: owner.kind,
  name: owner.metadata.name,
  uid: owner.metadata.uid ?? "",
})
