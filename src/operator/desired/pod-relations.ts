/**
 * Checks of the API server that concern several fields of a Pod, or the values of one: names, mounts, volumes, enums.
 */
import type { Pod } from "../../api/kinds/pod.ts"
import { record, records } from "./field-rule.ts"

type Fields = Readonly<Record<string, unknown>>

const dnsLabel = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/
const qualified = /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/
const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/

const quote = (text: unknown): string => `'${String(text).slice(0, 64)}'`

const isKey = (key: string): boolean => {
  const [name = "", prefix, ...more] = key.split("/").reverse()
  return (
    more.length === 0 &&
    qualified.test(name) &&
    (prefix === undefined || (prefix.length <= 253 && subdomain.test(prefix)))
  )
}

/** Faults in the names and values of labels, or of a node selector. */
const labelFaults = function* (value: unknown, at: string): Generator<string> {
  for (const [key, each] of Object.entries(record(value))) {
    if (!isKey(key)) yield `${at}: ${quote(key)} is no name of a label`
    else if (each !== "" && !qualified.test(String(each)))
      yield `${at}.${key} must have at most 63 characters of A-Z, a-z, 0-9, '-', '_' and '.', and is ${quote(each)}`
  }
}

/** A fault for each name that a list has more than once. */
const repeated = function* (names: readonly unknown[], at: string): Generator<string> {
  const seen = new Set<unknown>()
  for (const name of names) {
    if (seen.has(name)) yield `${at}: ${quote(name)} is there twice`
    seen.add(name)
  }
}

/** A fault if a value is none of the known ones; an absent or empty value is none. */
const oneOf = function* (value: unknown, known: readonly string[], at: string): Generator<string> {
  if (value !== undefined && value !== "" && !known.includes(String(value)))
    yield `${at} must be one of ${known.join(", ")}, and is ${quote(value)}`
}

const volumeFaults = function* (volumes: readonly Fields[]): Generator<string> {
  yield* repeated(
    volumes.map(({ name }) => name),
    "spec.volumes",
  )
  for (const [index, { name, ...sources }] of volumes.entries()) {
    const at = `spec.volumes[${index}]`
    if (!dnsLabel.test(String(name))) yield `${at}.name must be a DNS label such as cache-1, and is ${quote(name)}`
    const kinds = Object.keys(sources).filter((kind) => sources[kind] !== undefined && sources[kind] !== null)
    if (kinds.length > 1) yield `${at} has several sources, ${kinds.slice(0, 5).join(" and ")}: a volume has one`
  }
}

const handlers = ["exec", "httpGet", "tcpSocket", "grpc"]

const probeFaults = function* (container: Fields, at: string): Generator<string> {
  for (const name of ["livenessProbe", "readinessProbe", "startupProbe"]) {
    if (container[name] === undefined) continue
    const found = handlers.filter((handler) => record(container[name])[handler] !== undefined)
    if (found.length !== 1) yield `${at}.${name} must have one of ${handlers.join(", ")}, and has ${found.length}`
  }
}

const mountFaults = function* (container: Fields, volumes: ReadonlySet<unknown>, at: string): Generator<string> {
  const mounts = records(container.volumeMounts)
  for (const [index, { name, mountPath }] of mounts.entries()) {
    if (!volumes.has(name))
      yield `${at}.volumeMounts[${index}].name is ${quote(name)}, and spec.volumes has no such volume`
    if (mountPath === "") yield `${at}.volumeMounts[${index}].mountPath is empty`
  }
  yield* repeated(
    mounts.map(({ mountPath }) => mountPath),
    `${at}.volumeMounts`,
  )
}

const portFaults = function* (container: Fields, at: string): Generator<string> {
  for (const [index, { containerPort, protocol }] of records(container.ports).entries()) {
    const port = Number(containerPort)
    if (port < 1 || port > 65_535) yield `${at}.ports[${index}].containerPort must be from 1 to 65535, and is ${port}`
    yield* oneOf(protocol, ["TCP", "UDP", "SCTP"], `${at}.ports[${index}].protocol`)
  }
}

const containerFaults = function* (container: Fields, volumes: ReadonlySet<unknown>, at: string): Generator<string> {
  if (!dnsLabel.test(String(container.name)))
    yield `${at}.name must be a DNS label such as server, and is ${quote(container.name)}`
  if (typeof container.image !== "string" || container.image === "") yield `${at}.image is required`
  yield* oneOf(container.imagePullPolicy, ["Always", "IfNotPresent", "Never"], `${at}.imagePullPolicy`)
  for (const [index, { name, value, valueFrom }] of records(container.env).entries()) {
    if (name === "" || String(name).includes("="))
      yield `${at}.env[${index}].name is ${quote(name)}: no name of a variable`
    if (valueFrom !== undefined && value !== undefined && value !== "")
      yield `${at}.env[${index}] has both value and valueFrom`
  }
  yield* mountFaults(container, volumes, at)
  yield* portFaults(container, at)
  yield* probeFaults(container, at)
}

const tolerationFaults = function* (tolerations: readonly Fields[]): Generator<string> {
  for (const [index, { key, operator, effect, value }] of tolerations.entries()) {
    const at = `spec.tolerations[${index}]`
    yield* oneOf(operator, ["Equal", "Exists", "Lt", "Gt"], `${at}.operator`)
    yield* oneOf(effect, ["NoSchedule", "PreferNoSchedule", "NoExecute"], `${at}.effect`)
    if ((key === undefined || key === "") && operator !== "Exists")
      yield `${at} has no key: then operator must be Exists`
    if (operator === "Exists" && value !== undefined && value !== "") yield `${at} has a value: Exists takes none`
  }
}

/**
 * The faults of a Pod whose fields have the right types, one sentence each. Takes time linear in the size of the Pod.
 */
export const mismatches = function* ({ metadata, spec }: Pod): Generator<string> {
  const fields: Fields = spec
  const volumes = records(fields.volumes)
  const names = new Set(volumes.map(({ name }) => name))
  yield* labelFaults(metadata.labels, "metadata.labels")
  yield* labelFaults(fields.nodeSelector, "spec.nodeSelector")
  yield* volumeFaults(volumes)
  const containers = (["initContainers", "containers"] as const).flatMap((list) =>
    records(fields[list]).map((container, index) => ({ container, at: `spec.${list}[${index}]` })),
  )
  yield* repeated(
    containers.map(({ container }) => container.name),
    "spec.containers",
  )
  for (const { container, at } of containers) yield* containerFaults(container, names, at)
  yield* tolerationFaults(records(fields.tolerations))
  yield* oneOf(fields.restartPolicy, ["Always", "OnFailure", "Never"], "spec.restartPolicy")
  yield* oneOf(fields.dnsPolicy, ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"], "spec.dnsPolicy")
}
