import { containerFields } from "../../api/kinds/container.ts"
import { type MCPInstance, type MCPInstanceSpec, mcpInstanceKind } from "../../api/kinds/mcp-instance.ts"
import type { MCPTarget } from "../../api/kinds/mcp-target.ts"
import { labels, recommendedLabels } from "../../api/names.ts"
import { toRecord } from "../../credentials/scopes.ts"

/** The content of a new instance. */
type InstancePlan = {
  readonly name: string
  readonly namespace: string
  readonly target: MCPTarget
  readonly subjectKey: string
  /** Name of the Secret of its composition. */
  readonly secretName: string
  /** When the Secret's values expire, in milliseconds since the epoch. */
  readonly expiresAt?: number | undefined
  /** Names of the scope Secrets that were read. */
  readonly scopes: readonly string[]
  /** The sharer in readable form; absent unless kubernetes.expose_subjects is true. */
  readonly subject?: string | undefined
}

type ContainerSpec = Pick<MCPInstanceSpec, keyof typeof containerFields>

/** The fields that target and instance have in common, with the target's values. */
const containerSpec = (spec: MCPTarget["spec"]): ContainerSpec => {
  const fields = Object.keys(containerFields) as (keyof typeof containerFields)[]
  const given = fields.filter((field) => spec[field] !== undefined).map((field) => [field, spec[field]])
  return Object.fromEntries(given)
}

/** The instance as the gateway creates it: owned by its target, the target's spec copied. Pure. */
export const toInstance = (plan: InstancePlan): MCPInstance => {
  const { target } = plan
  const { name: targetName, uid: targetUID = "", generation } = target.metadata
  const spec: MCPInstanceSpec = {
    ...containerSpec(target.spec),
    targetName,
    targetUID,
    ...(generation === undefined ? {} : { targetGeneration: generation }),
    subjectKey: plan.subjectKey,
    secretName: plan.secretName,
    ...(plan.expiresAt === undefined ? {} : { secretExpireTime: new Date(plan.expiresAt).toISOString() }),
  }
  return {
    apiVersion: mcpInstanceKind.apiVersion,
    kind: mcpInstanceKind.kind,
    metadata: {
      name: plan.name,
      namespace: plan.namespace,
      labels: {
        ...recommendedLabels(plan.name),
        [labels.target]: targetName,
        [labels.instance]: plan.name,
      },
      annotations: {
        [labels.credentialScopes]: toRecord(plan.scopes),
        ...(plan.subject === undefined ? {} : { [labels.subject]: plan.subject }),
      },
      ownerReferences: [{ apiVersion: target.apiVersion, kind: target.kind, name: targetName, uid: targetUID }],
    },
    spec,
  }
}
