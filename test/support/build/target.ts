import { apiVersion, type ObjectMeta } from "../../../src/api/kinds/kind.ts"
import type { MCPTarget, MCPTargetSpec, MCPTargetStatus } from "../../../src/api/kinds/mcp-target.ts"
import { metadata } from "./metadata.ts"

/** What a test says of a target; the rest is that of a small server per user. */
export type TargetParts = {
  readonly name?: string
  readonly metadata?: Partial<ObjectMeta>
  readonly spec?: Partial<MCPTargetSpec>
  readonly status?: MCPTargetStatus
}

/** A target of its own instance per user. */
export const aTarget = ({ name = "files", metadata: more, spec, status }: TargetParts = {}): MCPTarget => ({
  apiVersion,
  kind: "MCPTarget",
  metadata: metadata(name, more),
  spec: {
    transportType: "kubernetes",
    image: "ghcr.io/org/files:1",
    port: 8080,
    statefulness: "stateful",
    isolationBoundary: "per_user",
    ...spec,
  },
  ...(status === undefined ? {} : { status }),
})

/** A target whose server somebody else runs. */
export const aRemoteTarget = ({ name = "example", spec, ...more }: TargetParts = {}): MCPTarget => {
  const { image: _image, port: _port, ...usual } = aTarget().spec
  const remote = { url: "https://mcp.example.com/mcp" }
  const target = aTarget({ name, ...more })
  return { ...target, spec: { ...usual, transportType: "streamable-http", remote, ...spec } }
}
