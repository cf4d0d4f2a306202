import { apiVersion } from "../../../src/api/kinds/kind.ts"
import type { MCPTarget, MCPTargetSpec } from "../../../src/api/kinds/mcp-target.ts"
import type { Identity } from "../../../src/identity/identity.ts"

/** An identity of a JWT issuer, `corp` unless told otherwise. */
export const identity = (more: Partial<Identity> = {}): Identity => ({
  source: more.issuer === "static" ? "token" : "jwt",
  issuer: "corp",
  subject: "alice",
  groups: [],
  roles: [],
  scopes: [],
  claims: {},
  ...more,
})

/** A per-user target called github; fields given as undefined are left out. */
export const target = (
  spec: { readonly [K in keyof MCPTargetSpec]?: MCPTargetSpec[K] | undefined } = {},
): MCPTarget => {
  const given: Partial<MCPTargetSpec> = Object.fromEntries(
    Object.entries(spec).filter(([, value]) => value !== undefined),
  )
  return {
    apiVersion,
    kind: "MCPTarget",
    metadata: { name: "github", uid: "target-uid" },
    spec: {
      transportType: "kubernetes",
      image: "github:1",
      port: 8080,
      statefulness: "stateful",
      isolationBoundary: "per_user",
      ...given,
    },
  }
}
