import { fromSecretData, type Secret, secretKind, toSecretData } from "../api/kinds/kubernetes.ts"
import type { MCPInstance } from "../api/kinds/mcp-instance.ts"
import type { MCPTarget } from "../api/kinds/mcp-target.ts"
import { labels, recommendedLabels, secretName } from "../api/names.ts"
import type { CallOptions, ClusterPort } from "../ports/cluster.ts"

/**
 * The immutable Secret of one composition, under a new name: `<instance>-` and 5 random characters. Owned by the target
 * until {@link giveToInstance}: after a crash between the two it is deleted together with the target.
 */
export const toCompositionSecret = (input: {
  readonly instance: string
  readonly target: MCPTarget
  readonly namespace: string
  readonly values: Readonly<Record<string, string>>
}): Secret => ({
  apiVersion: secretKind.apiVersion,
  kind: secretKind.kind,
  metadata: {
    name: secretName(input.instance),
    namespace: input.namespace,
    labels: {
      ...recommendedLabels(input.instance),
      [labels.target]: input.target.metadata.name,
      [labels.instance]: input.instance,
    },
    ownerReferences: [
      {
        apiVersion: input.target.apiVersion,
        kind: input.target.kind,
        name: input.target.metadata.name,
        uid: input.target.metadata.uid ?? "",
      },
    ],
  },
  type: "Opaque",
  immutable: true,
  data: toSecretData(input.values),
})

/**
 * True if a gateway made the Secret for this instance; false for a Secret that a person made and an instance refers to.
 */
export const isCompositionOf = ({ metadata, immutable }: Secret, instance: MCPInstance): boolean => {
  const { name } = instance.metadata
  const made = { ...recommendedLabels(name), [labels.instance]: name, [labels.target]: instance.spec.targetName }
  return immutable === true && Object.entries(made).every(([key, value]) => metadata.labels?.[key] === value)
}

/**
 * Makes the instance the only owner of its Secret, without blockOwnerDeletion (which would need rights on finalizers).
 */
export const giveToInstance = async (
  cluster: ClusterPort,
  secret: Secret,
  instance: MCPInstance,
  options: CallOptions,
): Promise<void> => {
  const { name, namespace = "" } = secret.metadata
  const { uid = "" } = instance.metadata
  const owner = { apiVersion: instance.apiVersion, kind: instance.kind, name: instance.metadata.name, uid }
  await cluster.mergePatch(secretKind, { namespace, name }, { metadata: { ownerReferences: [owner] } }, options)
}

/** The values that an instance's process was started with; undefined if its Secret no longer exists. */
export const readComposition = async (
  cluster: ClusterPort,
  instance: MCPInstance,
  options: CallOptions,
): Promise<readonly string[] | undefined> => {
  const name = instance.status?.secretName ?? instance.spec.secretName
  if (name === undefined) return []
  const ref = { namespace: instance.metadata.namespace ?? "", name }
  const secret = await cluster.get(secretKind, ref, options)
  return secret === undefined ? undefined : Object.values(fromSecretData(secret.data))
}
