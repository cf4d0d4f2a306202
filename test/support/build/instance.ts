import { apiVersion, type Condition, type ObjectMeta } from "../../../src/api/kinds/kind.ts"
import type { MCPInstance, MCPInstanceSpec, MCPInstanceStatus } from "../../../src/api/kinds/mcp-instance.ts"
import { birth, metadata } from "./metadata.ts"

/** What a test says of an instance; the rest is that of a small server for one user. */
export type InstanceParts = {
  readonly name?: string
  readonly metadata?: Partial<ObjectMeta>
  readonly spec?: Partial<MCPInstanceSpec>
  readonly status?: MCPInstanceStatus
}

/** An instance of target `files` for one user. */
export const anInstance = ({
  name = "files-user-a",
  metadata: more,
  spec,
  status,
}: InstanceParts = {}): MCPInstance => ({
  apiVersion,
  kind: "MCPInstance",
  metadata: metadata(name, more),
  spec: {
    image: "ghcr.io/org/files:1",
    port: 8080,
    targetName: "files",
    subjectKey: "user:abc123",
    ...spec,
  },
  ...(status === undefined ? {} : { status }),
})

/** A condition that has been so since the fixtures' time began. */
export const aCondition = (
  type: string,
  status: Condition["status"],
  reason: string,
  more: Partial<Condition> = {},
): Condition => ({ type, status, reason, message: "", lastTransitionTime: birth, ...more })
