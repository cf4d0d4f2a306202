import { fromSecretData, type Secret, secretKind, toSecretData } from "../api/kinds/kubernetes.ts"
import type { MCPInstance } from "../api/kinds/mcp-instance.ts"
import { labels, recommendedLabels } from "../api/names.ts"
import type { CallOptions, ClusterPort } from "../ports/cluster.ts"

/**
 * The immutable Secret of one composition, under the name that the instance has for it. The instance, which exists
 * already, is its only owner from the beginning, without blockOwnerDeletion (which would need rights on finalizers): so
 * the Secret is deleted with it, whatever happens to the gateway.
 */
export const toCompositionSecret = (
  { apiVersion, kind, metadata, spec }: MCPInstance,
  values: Readonly<Record<string, string>>,
): Secret => ({
  apiVersion: secretKind.apiVersion,
  kind: secretKind.kind,
  metadata: {
    name: spec.secretName ?? "",
    ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }),
    labels: {
      ...recommendedLabels(metadata.name),
      [labels.target]: spec.targetName,
      [labels.instance]: metadata.name,
    },
    ownerReferences: [{ apiVersion, kind, name: metadata.name, uid: metadata.uid ?? "" }],
  },
  type: "Opaque",
  immutable: true,
  data: toSecretData(values),
})

/**
 * True if a gateway made the Secret for this instance; false for a Secret that a person made and an instance refers to.
 */
export const isCompositionOf = ({ metadata, immutable }: Secret, instance: MCPInstance): boolean => {
  const { name } = instance.metadata
  const made = { ...recommendedLabels(name), [labels.instance]: name, [labels.target]: instance.spec.targetName }
  return immutable === true && Object.entries(made).every(([key, value]) => metadata.labels?.[key] === value)
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
