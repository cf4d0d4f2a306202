import type { Container } from "../../api/pod.ts"
import { fromSecretData, type Secret, secretKind } from "../../api/secret.ts"
import type { ClusterPort } from "../../ports/cluster.ts"
import { type Need, namedSecrets, neededSecrets } from "./sources.ts"

/** The Secrets of a container as they are now. */
export type SecretsFound = {
  readonly values: ReadonlyMap<string, Readonly<Record<string, string>>>
  /** The first Secret, or key of one, that is needed and does not exist. */
  readonly missing?: Need
}

/** Reads the Secrets that a container names. */
export const readSecrets = async (
  cluster: ClusterPort,
  namespace: string,
  container: Container,
  signal: AbortSignal,
): Promise<SecretsFound> => {
  const values = new Map<string, Readonly<Record<string, string>>>()
  for (const name of new Set(namedSecrets(container))) {
    const secret = await cluster.get(secretKind, { namespace, name }, { signal })
    if (secret !== undefined) values.set(name, fromSecretData(secret.data))
  }
  const isThere = ({ secret, key }: Need): boolean => {
    const found = values.get(secret)
    return found !== undefined && (key === undefined || Object.hasOwn(found, key))
  }
  const missing = neededSecrets(container).find((need) => !isThere(need))
  return { values, ...(missing === undefined ? {} : { missing }) }
}

/** What is missing, in the kubelet's words. */
export const missingText = ({ secret, key }: Need, namespace: string, exists: boolean): string =>
  key === undefined || !exists
    ? `secret "${secret}" not found`
    : `couldn't find key ${key} in Secret ${namespace}/${secret}`

const fulfils = (secret: Secret | undefined, { key }: Need): boolean =>
  secret !== undefined && (key === undefined || Object.hasOwn(secret.data ?? {}, key))

/** Resolves as soon as the Secret, and the key if one is needed, exists, or with the signal. */
export const secretAppears = async (
  cluster: ClusterPort,
  namespace: string,
  need: Need,
  signal: AbortSignal,
): Promise<void> => {
  if (signal.aborted) return
  const selection = { namespace, fieldSelector: `metadata.name=${need.secret}` }
  const reflection = cluster.watch(secretKind, selection)
  await new Promise<void>((resolve) => {
    const look = () => {
      if (fulfils(reflection.get(need.secret), need)) resolve()
    }
    reflection.subscribe(look)
    // closed before the first list: somebody stopped us, and the caller looks at the signal
    reflection.synced.then(look, () => resolve())
    signal.addEventListener("abort", () => resolve(), { once: true })
  })
  await reflection.close()
}
