import type { Problem } from "./problem.ts"
import type { AnyKind, Raw } from "./raw.ts"

/** RFC 1123 subdomain, as most names must be. */
const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/
/** RFC 1123 label, as namespaces must be. */
const label = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/
/** RFC 1035 label, as Services must be. */
const serviceName = /^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/
/** What follows the optional prefix of a label or annotation key; label values too, but those may be empty. */
const qualified = /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/
const maxAnnotationBytes = 256 * 1024

const isKey = (key: string): boolean => {
  const parts = key.split("/")
  const [prefix, name] = parts.length === 1 ? [undefined, parts[0]] : parts
  if (parts.length > 2 || !qualified.test(name ?? "")) return false
  return prefix === undefined || (prefix.length <= 253 && subdomain.test(prefix))
}

const checkName = (kind: AnyKind, { name }: Raw["metadata"]): Problem[] => {
  const path = "metadata.name"
  if (typeof name !== "string" || name === "") return [{ path, message: "name is required" }]
  if (kind.kind === "Service")
    return serviceName.test(name) ? [] : [{ path, message: "must be a DNS-1035 label of at most 63 characters" }]
  return name.length <= 253 && subdomain.test(name)
    ? []
    : [{ path, message: "must be a lowercase RFC 1123 subdomain of at most 253 characters" }]
}

const checkLabels = (labels: Readonly<Record<string, unknown>>): Problem[] =>
  Object.entries(labels).flatMap(([key, value]) => {
    const path = `metadata.labels.${key}`
    if (!isKey(key)) return [{ path, message: "not a qualified name" }]
    if (typeof value !== "string" || (value !== "" && !qualified.test(value)))
      return [{ path, message: "a label value has at most 63 characters of A-Z, a-z, 0-9, '-', '_' and '.'" }]
    return []
  })

const checkAnnotations = (annotations: Readonly<Record<string, unknown>>): Problem[] => {
  const path = "metadata.annotations"
  const problems: Problem[] = []
  let bytes = 0
  for (const [key, value] of Object.entries(annotations)) {
    if (!isKey(key.toLowerCase())) problems.push({ path: `${path}.${key}`, message: "not a qualified name" })
    if (typeof value !== "string") problems.push({ path: `${path}.${key}`, message: "must be a string" })
    else bytes += Buffer.byteLength(key) + Buffer.byteLength(value)
  }
  return bytes > maxAnnotationBytes ? [...problems, { path, message: "must have at most 262144 bytes" }] : problems
}

const checkOwners = (owners: NonNullable<Raw["metadata"]["ownerReferences"]>): Problem[] => {
  const path = "metadata.ownerReferences"
  const incomplete = owners.some((owner) => !owner.apiVersion || !owner.kind || !owner.name || !owner.uid)
  const controllers = owners.filter((owner) => owner.controller === true).length
  return [
    ...(incomplete ? [{ path, message: "each owner needs apiVersion, kind, name and uid" }] : []),
    ...(controllers > 1 ? [{ path, message: "only one reference can have controller set to true" }] : []),
  ]
}

/** What Kubernetes would object to in the metadata; `old` is the state before an update. */
export const checkMetadata = (kind: AnyKind, next: Raw, old?: Raw): Problem[] => {
  const { metadata } = next
  const problems = checkName(kind, metadata)
  if (next.apiVersion !== kind.apiVersion) problems.push({ path: "apiVersion", message: `must be ${kind.apiVersion}` })
  if (next.kind !== kind.kind) problems.push({ path: "kind", message: `must be ${kind.kind}` })
  if (!label.test(metadata.namespace ?? ""))
    problems.push({ path: "metadata.namespace", message: "must be a DNS label of at most 63 characters" })
  problems.push(...checkLabels(metadata.labels ?? {}), ...checkAnnotations(metadata.annotations ?? {}))
  problems.push(...checkOwners(metadata.ownerReferences ?? []))
  if (old !== undefined && metadata.creationTimestamp !== old.metadata.creationTimestamp)
    problems.push({ path: "metadata.creationTimestamp", message: "field is immutable" })
  return problems
}
