import { isDeepStrictEqual } from "node:util"
import type { Rule } from "../../api/kinds/kind.ts"
import { isFields } from "../../api/patch.ts"
import { type AnyKind, invalid, type Problem, type Raw } from "./raw.ts"

/** RFC 1123 subdomain: the form of most names. */
const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/
/** RFC 1123 label: the form of a namespace's name. */
const label = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/
/** RFC 1035 label: the form of a Service's name. */
const serviceName = /^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/
/**
 * Name part (after the optional prefix) of a label or annotation key. Label values have the same form, or are empty.
 */
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

/** Problems that Kubernetes would report for the metadata; `old` is the state before an update. */
const checkMetadata = (kind: AnyKind, next: Raw, old?: Raw): Problem[] => {
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

const secretKey = /^[-._a-zA-Z0-9]{1,253}$/
const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/
const maxSecretBytes = 1024 * 1024

const checkSecret = (next: Raw, old: Raw | undefined): Problem[] => {
  const data = isFields(next.data) ? next.data : {}
  const problems: Problem[] = []
  let bytes = 0
  for (const [key, value] of Object.entries(data)) {
    if (!secretKey.test(key)) problems.push({ path: `data.${key}`, message: "not a valid key" })
    if (typeof value !== "string" || !base64.test(value))
      problems.push({ path: `data.${key}`, message: "must be base64" })
    else bytes += Math.floor((value.length * 3) / 4)
  }
  if (bytes > maxSecretBytes) problems.push({ path: "data", message: "must have at most 1048576 bytes" })
  if (old === undefined) return problems
  if (next.type !== old.type) problems.push({ path: "type", message: "field is immutable" })
  if (old.immutable !== true) return problems
  if (next.immutable !== true)
    problems.push({ path: "immutable", message: "field is immutable when `immutable` is set" })
  if (!isDeepStrictEqual(next.data ?? {}, old.data ?? {}))
    problems.push({ path: "data", message: "field is immutable when `immutable` is set" })
  return problems
}

/** A Pod's spec without the images, which may change, and with `nodeName`, which may be set once. */
const fixedPodSpec = (pod: Raw, nodeName: unknown): unknown => {
  const spec = isFields(pod.spec) ? pod.spec : {}
  const containers = Array.isArray(spec.containers) ? spec.containers : []
  return {
    ...spec,
    nodeName,
    containers: containers.map((each: unknown) => (isFields(each) ? { ...each, image: undefined } : each)),
  }
}

const checkPod = (next: Raw, old: Raw | undefined): Problem[] => {
  const spec = isFields(next.spec) ? next.spec : {}
  if (!Array.isArray(spec.containers) || spec.containers.length === 0)
    return [{ path: "spec.containers", message: "at least one container is required" }]
  if (old === undefined) return []
  const bound = isFields(old.spec) ? old.spec.nodeName : undefined
  const nodeName = bound ?? spec.nodeName
  const same = isDeepStrictEqual(fixedPodSpec(next, spec.nodeName), fixedPodSpec(old, nodeName))
  return same ? [] : [{ path: "spec", message: "a Pod's spec cannot change but for images" }]
}

const checkService = (next: Raw, old: Raw | undefined): Problem[] => {
  const [spec, before] = [next.spec, old?.spec]
  const ports = isFields(spec) && Array.isArray(spec.ports) ? spec.ports : []
  if (ports.length === 0) return [{ path: "spec.ports", message: "at least one port is required" }]
  const changed = isFields(spec) && isFields(before) && spec.clusterIP !== before.clusterIP
  return changed ? [{ path: "spec.clusterIP", message: "field is immutable" }] : []
}

const builtIn: Readonly<Record<string, (next: Raw, old: Raw | undefined) => Problem[]>> = {
  "v1/Secret": checkSecret,
  "v1/Pod": checkPod,
  "v1/Service": checkService,
}

/** The value at a dotted path. */
const valueAt = (root: unknown, path: string): unknown => {
  let value: unknown = root
  for (const name of path === "" ? [] : path.split(".")) value = isFields(value) ? value[name] : undefined
  return value
}

const isTransition = (rule: Rule): boolean => rule.cel.includes("oldSelf")

const checkRule = (rule: Rule, next: Raw, old: Raw | undefined): Problem[] => {
  const [self, oldSelf] = [valueAt(next, rule.path), valueAt(old, rule.path)]
  if (self === undefined || (isTransition(rule) && oldSelf === undefined)) return []
  const path = rule.field === undefined ? rule.path : `${rule.path}.${rule.field}`
  return rule.holds(self, oldSelf) ? [] : [{ path, message: rule.message }]
}

/** A path as the API server writes it, e.g. `spec.env[0].name`. */
const toPath = (parts: readonly PropertyKey[]): string =>
  parts
    .map((part) => (typeof part === "number" ? `[${part}]` : `.${String(part)}`))
    .join("")
    .replace(/^\./, "")

/** Checks the object with its kind's schema and fills in its defaults; unknown fields are pruned. */
const parse = (kind: AnyKind, next: Raw): { readonly object: Raw; readonly problems: readonly Problem[] } => {
  const parsed = kind.schema?.safeParse(next)
  if (parsed === undefined) return { object: next, problems: [] }
  if (parsed.success) return { object: parsed.data as Raw, problems: [] }
  const problems = parsed.error.issues.map(({ path, message }) => ({ path: toPath(path), message }))
  return { object: next, problems }
}

/**
 * The object as it is to be stored: unknown fields pruned, defaults set. Throws `ApiInvalid` with a message for each
 * field and rule that is violated. `old` is the state before an update.
 */
export const validate = (kind: AnyKind, next: Raw, old?: Raw): Raw => {
  const { object, problems: schemaProblems } = parse(kind, next)
  const problems = [...checkMetadata(kind, object, old), ...schemaProblems]
  // as on the API server, rules are evaluated only for objects that the schema accepts
  if (schemaProblems.length === 0) for (const rule of kind.rules ?? []) problems.push(...checkRule(rule, object, old))
  problems.push(...(builtIn[`${kind.apiVersion}/${kind.kind}`]?.(object, old) ?? []))
  if (problems.length > 0) throw invalid(kind, String(next.metadata.name), problems)
  return object
}
