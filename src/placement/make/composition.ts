import { type Secret, secretKind } from "../../api/kinds/kubernetes.ts"
import type { MCPInstance } from "../../api/kinds/mcp-instance.ts"
import { isCompositionOf, toCompositionSecret } from "../../credentials/secret.ts"
import { hasCode } from "../../errors.ts"
import type { ClusterPort } from "../../ports/cluster.ts"

/** Dependencies of {@link createComposition}. */
type CompositionDeps = { readonly cluster: ClusterPort; readonly namespace: string }

/** True if a gateway made the Secret for this very instance, and not for an earlier one of its name. */
const isOwn = (secret: Secret, instance: MCPInstance): boolean =>
  isCompositionOf(secret, instance) &&
  secret.metadata.ownerReferences?.some(({ uid }) => uid === instance.metadata.uid) === true

/**
 * Creates the Secret that the instance names. If it exists already and a gateway made it for this instance, that one
 * stays: a gateway that mends an instance can be faster than the one that created it.
 * @throws ApiAlreadyExists if the name belongs to another Secret; the cluster's error
 */
export const createComposition = async (
  { cluster, namespace }: CompositionDeps,
  instance: MCPInstance,
  values: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<void> => {
  const secret = toCompositionSecret(instance, values)
  try {
    await cluster.create(secretKind, secret, { signal })
  } catch (error) {
    if (!hasCode(error, "ApiAlreadyExists")) throw error
    const found = await cluster.get(secretKind, { namespace, name: secret.metadata.name }, { signal })
    if (found === undefined || !isOwn(found, instance)) throw error
  }
}
