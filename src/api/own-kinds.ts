import { MCPInstanceSpec, MCPInstanceStatus, mcpInstanceKind } from "./mcp-instance.ts"
import { MCPTargetSpec, MCPTargetStatus, mcpTargetKind } from "./mcp-target.ts"
import { type StructuralSchema, toStructural } from "./structural.ts"

/** One of our kinds as the API server is told of it. */
export type OwnKind = {
  /** e.g. `MCPInstance`. */
  readonly kind: string
  /** e.g. `mcpinstances`. */
  readonly plural: string
  /** e.g. `mcp.reflow.io/v1alpha1`. */
  readonly apiVersion: string
  readonly schema: StructuralSchema
}

/** Our two kinds, with the schemas that crd/ carries. */
export const ownKinds = (): readonly OwnKind[] => [
  { ...mcpInstanceKind, schema: toStructural(mcpInstanceKind, { spec: MCPInstanceSpec, status: MCPInstanceStatus }) },
  { ...mcpTargetKind, schema: toStructural(mcpTargetKind, { spec: MCPTargetSpec, status: MCPTargetStatus }) },
]
