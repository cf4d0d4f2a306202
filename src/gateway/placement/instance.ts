import { containerFields } from "../../api/container.ts"
import { labels, recommendedLabels } from "../../api/labels.ts"
import { type MCPInstance, type MCPInstanceSpec, mcpInstanceKind } from "../../api/mcp-instance.ts"
import type { MCPTarget } from "../../api/mcp-target.ts"
import { toRecord } from "../../credentials/scopes.ts"

/** What a new instance is made of. */
export type InstancePlan = {
  readonly name: string
  readonly namespace: string
  readonly target: MCPTarget
  readonly subjectKey: string
  /** Name of the Secret of its composition. */
  readonly secretName: string
  /** When the Secret's values expire, in milliseconds since the epoch. */
  readonly expiresAt?: number | undefined
  /** The scope Secrets that were looked at. */
  readonly scopes: readonly string[]
  /** The sharer for people; absent unless subjects may be shown. */
  readonly subject?: string | undefined
}

type ContainerSpec = Pick<MCPTarget["spec"], keyof typeof containerFields>

/** What target and instance say alike, as the target says it. */
const containerSpec = (spec: MCPTarget["spec"]): ContainerSpec => {
  const { image, port } = spec
  const fields = Object.keys(containerFields) as (keyof typeof containerFields)[]
  const given = fields.filter((field) => spec[field] !== undefined).map((field) => [field, spec[field]])
  return { ...Object.fromEntries(given), image, port }
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
