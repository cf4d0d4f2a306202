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

/** What must exist before the container can start. */
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

/** What Kubernetes has for fields that a Pod of the embedded cluster does not have itself. */
const ownFields: Readonly<Record<string, string>> = {
  "spec.serviceAccountName": "default",
  "status.hostIP": "127.0.0.1",
  "status.hostIPs": "127.0.0.1",
  "status.podIP": "127.0.0.1",
  "status.podIPs": "127.0.0.1",
}

const mapField = /^metadata\.(labels|annotations)\['([^']+)'\]$/

/** The value of a field by its path, as the downward API gives it; undefined if it gives no such field. */
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

/** Why a source of one variable cannot be had here; undefined if it can. */
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

/** What the container's environment asks for that the embedded cluster can never give; undefined if there is nothing. */
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

/** The Secrets of a container as they are now. */
type SecretsFound = {
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
