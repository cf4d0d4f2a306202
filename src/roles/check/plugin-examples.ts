/** Example input for a plugin's hooks: a caller, a target, an instance and its Pod. */
import type { MCPInstance } from "../../api/kinds/mcp-instance.ts"
import { type MCPTarget, MCPTargetSpec } from "../../api/kinds/mcp-target.ts"
import type { Pod } from "../../api/kinds/pod.ts"
import type { Caller } from "../../cli/caller.ts"
import { configSchema, podFreedoms } from "../../config/schema.ts"
import { emailOf } from "../../identity/claims.ts"
import { desiredPod } from "../../operator/desired/pod.ts"
import type { Settings } from "../../operator/snapshot.ts"
import type { PluginIdentity, Sharer } from "../../plugin/contract.ts"

/** The configuration that a target gives a hook. */
export type HookSettings = Record<string, unknown>

/** The caller if the command line describes none. */
const someone: PluginIdentity = {
  source: "jwt",
  issuer: "example",
  subject: "alice",
  email: "alice@example.com",
  groups: ["eng"],
  roles: ["dev"],
  scopes: ["mcp"],
  claims: { sub: "alice", email: "alice@example.com", groups: ["eng"], roles: ["dev"], tenant: "acme" },
}

/** True if the command line describes the caller: then the caller has only what is described, and not the example's. */
export const isDescribed = ({ subject, groups, roles, claims }: Caller): boolean =>
  subject !== undefined || groups.length > 0 || roles.length > 0 || Object.keys(claims).length > 0

/** The caller that the command line describes, or an example. */
export const identityFor = (caller: Caller): PluginIdentity => {
  if (!isDescribed(caller)) return someone
  const { subject = someone.subject, groups, roles, claims } = caller
  const email = emailOf(claims, "email")
  return {
    ...{ source: "jwt", issuer: someone.issuer, subject, groups, roles, scopes: [] },
    ...(email === undefined ? {} : { email }),
    claims: { sub: subject, groups, roles, ...claims },
  }
}

/** The caller as the sharer of a `per_user` instance. */
export const sharerFor = (identity: PluginIdentity): Sharer => ({
  kind: "user",
  subjectKey: "user:a",
  issuer: identity.issuer,
  name: identity.subject,
  identity,
})

const apiVersion = "mcp.reflow.io/v1alpha1"

/** A target with an example image and port, the given fields, and the defaults of the schema. */
export const exampleTarget = (spec: Partial<MCPTargetSpec> = {}): MCPTarget => ({
  apiVersion,
  kind: "MCPTarget",
  metadata: { name: "example", namespace: "reflow", uid: "00000000-0000-0000-0000-000000000000", generation: 1 },
  spec: MCPTargetSpec.parse({ image: "example", port: 8080, ...spec }),
})

/** An instance that chooses one pod template. */
export const exampleInstance = (name: string, config: HookSettings): MCPInstance => ({
  apiVersion,
  kind: "MCPInstance",
  metadata: { name: "example-user-a", namespace: "reflow", uid: "00000000-0000-0000-0000-000000000001" },
  spec: {
    image: "example",
    port: 8080,
    targetName: "example",
    subjectKey: "user:a",
    podTemplates: [{ name, config }],
  },
})

/**
 * The Pod of an instance as the operator builds it, with `template` in place of the instance's pod templates. The
 * settings allow everything that kubernetes.allow_in_pods can allow.
 */
export const podOf = (instance: MCPInstance, template: Settings["template"] = (pod) => pod): Pod => {
  const { kubernetes } = configSchema.parse({})
  const settings: Settings = {
    ...kubernetes,
    allow_in_pods: [...podFreedoms],
    embedded: false,
    bridge: undefined,
    podTemplates: new Set<string>(),
    template,
    pluginFaults: () => [],
    knownIssuers: undefined,
  }
  return desiredPod({ instance, name: `${instance.metadata.name}-12345`, settings })
}
