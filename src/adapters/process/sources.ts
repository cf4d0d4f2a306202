import { fromSecretData, type Secret, secretKind } from "../../api/kinds/kubernetes.ts"
import type { Container, EnvValueSource, Pod } from "../../api/kinds/pod.ts"
import type { ClusterPort } from "../../ports/cluster.ts"

/** A Secret without which a container cannot start, or a key of one. */
type Need = { readonly secret: string; readonly key?: string }

const sourcesOf = ({ env = [] }: Container): readonly EnvValueSource[] =>
  env.flatMap(({ valueFrom }) => (valueFrom === undefined ? [] : [valueFrom]))

/** Names of all Secrets that the container takes variables from. */
export const namedSecrets = (container: Container): string[] => [
  ...(container.envFrom ?? []).flatMap(({ secretRef }) => (secretRef === undefined ? [] : [secretRef.name])),
  ...sourcesOf(container).flatMap(({ secretKeyRef }) => (secretKeyRef === undefined ? [] : [secretKeyRef.name])),
]

/** The Secrets, or keys of Secrets, that must exist before the container can start. */
export const neededSecrets = (container: Container): Need[] => [
  ...(container.envFrom ?? []).flatMap(({ secretRef }) =>
    secretRef === undefined || secretRef.optional === true ? [] : [{ secret: secretRef.name }],
  ),
  ...sourcesOf(container).flatMap(({ secretKeyRef }) =>
    secretKeyRef === undefined || secretKeyRef.optional === true
      ? []
      : [{ secret: secretKeyRef.name, key: secretKeyRef.key }],
  ),
]

/** Values for `fieldRef` of fields that Kubernetes sets and that a Pod of the embedded cluster does not have. */
const ownFields: Readonly<Record<string, string>> = {
  "spec.serviceAccountName": "default",
  "status.hostIP": "127.0.0.1",
  "status.hostIPs": "127.0.0.1",
  "status.podIP": "127.0.0.1",
  "status.podIPs": "127.0.0.1",
}

const mapField = /^metadata\.(labels|annotations)\['([^']+)'\]$/

/** The value of a field by its path, as in Kubernetes' downward API; undefined if that does not support the field. */
export const fieldValue = ({ metadata }: Pod, nodeName: string, path: string): string | undefined => {
  if (path === "metadata.name") return metadata.name
  if (path === "metadata.namespace") return metadata.namespace ?? ""
  if (path === "metadata.uid") return metadata.uid ?? ""
  if (path === "spec.nodeName") return nodeName
  if (Object.hasOwn(ownFields, path)) return ownFields[path]
  const [, field, key = ""] = mapField.exec(path) ?? []
  if (field !== "labels" && field !== "annotations") return undefined
  const values = metadata[field] ?? {}
  return Object.hasOwn(values, key) ? values[key] : ""
}

const noConfigMaps = "the embedded cluster has no ConfigMaps: use a value or a Secret, or mark it optional"

/** Why the embedded cluster cannot provide the source of a variable; undefined if it can. */
const whyNoSource = (source: EnvValueSource, has: (path: string) => boolean): string | undefined => {
  const { configMapKeyRef, fieldRef, secretKeyRef } = source
  if (secretKeyRef !== undefined) return undefined
  if (configMapKeyRef !== undefined)
    return configMapKeyRef.optional === true
      ? undefined
      : `configmap "${configMapKeyRef.name}" not found; ${noConfigMaps}`
  if (fieldRef !== undefined)
    return has(fieldRef.fieldPath) ? undefined : `there is no field ${fieldRef.fieldPath} for an environment variable`
  const kinds = Object.keys(source).join(", ")
  return `the embedded cluster, whose servers are processes, has no ${kinds === "" ? "empty valueFrom" : kinds}`
}

/**
 * A message about a source in the container's environment that the embedded cluster does not support; undefined if
 * none.
 */
export const unsupportedSource = (container: Container, has: (path: string) => boolean): string | undefined => {
  for (const { configMapRef } of container.envFrom ?? [])
    if (configMapRef !== undefined && configMapRef.optional !== true)
      return `envFrom: configmap "${configMapRef.name}" not found; ${noConfigMaps}`
  for (const { name, valueFrom } of container.env ?? []) {
    const why = valueFrom === undefined ? undefined : whyNoSource(valueFrom, has)
    if (why !== undefined) return `env ${name}: ${why}`
  }
  return undefined
}

/** The current values of a container's Secrets. */
type SecretsFound = {
  readonly values: ReadonlyMap<string, Readonly<Record<string, string>>>
  /** The first needed Secret, or key of a Secret, that does not exist. */
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

/** The kubelet's message for a missing Secret or key; `exists`: the Secret exists. */
export const missingText = ({ secret, key }: Need, namespace: string, exists: boolean): string =>
  key === undefined || !exists
    ? `secret "${secret}" not found`
    : `couldn't find key ${key} in Secret ${namespace}/${secret}`

const fulfils = (secret: Secret | undefined, { key }: Need): boolean =>
  secret !== undefined && (key === undefined || Object.hasOwn(secret.data ?? {}, key))

/** Resolves as soon as the Secret exists, with the key if one is needed, or when the signal is aborted. */
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
    const check = () => {
      if (fulfils(reflection.get(need.secret), need)) resolve()
    }
    reflection.subscribe(check)
    // rejects only if the cluster was closed before the first list; the caller checks the signal
    reflection.synced.then(check, () => resolve())
    signal.addEventListener("abort", () => resolve(), { once: true })
  })
  await reflection.close()
}
