import type { Container } from "../../api/pod.ts"
import { fromSecretData, secretKind } from "../../api/secret.ts"
import type { ClusterPort } from "../../ports/cluster.ts"
import { namedSecrets, requiredSecrets } from "./environment.ts"

/** The Secrets of a container as they are now. */
export type SecretsFound = {
  readonly values: ReadonlyMap<string, Readonly<Record<string, string>>>
  /** The first required Secret that does not exist. */
  readonly missing?: string
}

/** Reads the Secrets that a container names. */
export const readSecrets = async (
  cluster: ClusterPort,
  namespace: string,
  container: Container,
  signal: AbortSignal,
): Promise<SecretsFound> => {
  const values = new Map<string, Readonly<Record<string, string>>>()
  for (const name of namedSecrets(container)) {
    const secret = await cluster.get(secretKind, { namespace, name }, { signal })
    if (secret !== undefined) values.set(name, fromSecretData(secret.data))
  }
  const missing = requiredSecrets(container).find((name) => !values.has(name))
  return { values, ...(missing === undefined ? {} : { missing }) }
}

/** Resolves as soon as the Secret exists, or with the signal. */
export const secretAppears = async (
  cluster: ClusterPort,
  ref: { readonly namespace: string; readonly name: string },
  signal: AbortSignal,
): Promise<void> => {
  if (signal.aborted) return
  const selection = { namespace: ref.namespace, fieldSelector: `metadata.name=${ref.name}` }
  const reflection = cluster.watch(secretKind, selection)
  await new Promise<void>((resolve) => {
    const look = () => {
      if (reflection.get(ref.name) !== undefined) resolve()
    }
    reflection.subscribe(look)
    // closed before the first list: somebody stopped us, and the caller looks at the signal
    reflection.synced.then(look, () => resolve())
    signal.addEventListener("abort", () => resolve(), { once: true })
  })
  await reflection.close()
}
