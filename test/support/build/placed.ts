import { apiVersion, type Condition, type ObjectMeta } from "../../../src/api/kinds/kind.ts"
import type { MCPInstance, MCPInstanceSpec, MCPInstanceStatus } from "../../../src/api/kinds/mcp-instance.ts"
import { labels } from "../../../src/api/names.ts"

/** What a test says of an instance; the rest is unremarkable. */
export type InstanceParts = {
  readonly name?: string
  readonly uid?: string
  readonly metadata?: Partial<ObjectMeta>
  readonly spec?: Partial<MCPInstanceSpec>
  readonly status?: MCPInstanceStatus
  /** Value of the credential-scopes annotation. */
  readonly scopes?: string
}

/** A condition as the operator writes it. */
export const condition = (
  type: string,
  status: "True" | "False" | "Unknown",
  reason = type,
  message = `${type} is ${status}`,
): Condition => ({ type, status, reason, message, lastTransitionTime: "2030-01-01T00:00:00Z" })

/** Alice's instance of the target github of {@link import("./who.ts").target}. */
export const instance = (parts: InstanceParts = {}): MCPInstance => ({
  apiVersion,
  kind: "MCPInstance",
  metadata: {
    name: parts.name ?? "github-user-alice",
    namespace: "reflow",
    uid: parts.uid ?? "instance-uid",
    resourceVersion: "1",
    ...(parts.scopes === undefined ? {} : { annotations: { [labels.credentialScopes]: parts.scopes } }),
    ...parts.metadata,
  },
  spec: {
    image: "github:1",
    port: 8080,
    targetName: "github",
    targetUID: "target-uid",
    subjectKey: "user:alice",
    ...parts.spec,
  },
  ...(parts.status === undefined ? {} : { status: parts.status }),
})

/** Status of an instance that serves. */
export const readyStatus = (more: Partial<MCPInstanceStatus> = {}): MCPInstanceStatus => ({
  phase: "Ready",
  url: "http://10.0.0.1:8080/mcp",
  podURL: "http://10.1.0.1:8080/mcp",
  podName: "github-user-alice-aaaaa",
  incarnation: "pod-uid.0",
  conditions: [condition("Admitted", "True"), condition("PodReady", "True"), condition("Ready", "True")],
  ...more,
})
