import { type Actor, bootstrapSecretName, type Grant, grants, keysSecretName } from "../../adapters/kube/access.ts"
import type { Preflight, Right } from "../../adapters/kube/preflight.ts"
import { actorName, type Namespaces } from "../../adapters/kube/rbac.ts"
import { type OwnKind, schemaDifferences } from "../../api/schema/own-kinds.ts"
import type { StructuralSchema } from "../../api/schema/structural.ts"
import { isAppError } from "../../errors.ts"
import type { Finding } from "./finding.ts"

/** Dependencies of the checks of a cluster. */
export type ClusterCheck = {
  readonly preflight: Preflight
  readonly kinds: readonly OwnKind[]
  readonly actors: readonly Actor[]
  readonly namespaces: Namespaces
  /** Secret of the session keys (gateway.keys_secret). */
  readonly keysSecret: string
  /** True if the gateway will want its bootstrap token. */
  readonly needsBootstrapToken: boolean
  readonly signal: AbortSignal
}

/** Field selectors of custom resources (`selectableFields` of a CRD) are stable since Kubernetes 1.32. */
const oldest = { major: 1, minor: 32 } as const
/** Maximum number of concurrent API calls. */
const parallel = 8
/** Maximum number of schema differences that a finding names. */
const named = 3

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** Calls `make` for each item, at most {@link parallel} at once; results in the order of the items. */
const mapLimited = async <T, R>(items: readonly T[], make: (item: T) => Promise<R>): Promise<readonly R[]> => {
  const results: R[] = []
  const queue = items.entries()
  const work = async (): Promise<void> => {
    for (const [index, item] of queue) results[index] = await make(item)
  }
  await Promise.all(Array.from({ length: parallel }, work))
  return results
}

/** Checks that the API server answers, accepts this client's credentials, and is new enough. */
export const checkServer = async ({ preflight, signal }: ClusterCheck): Promise<Finding> => {
  const what = "API server"
  try {
    const { major, minor, text } = await preflight.version(signal)
    const user = await preflight.whoAmI(signal)
    const isNew = major > oldest.major || (major === oldest.major && minor >= oldest.minor)
    if (isNew) return { what, ok: true, detail: `${text}, which knows this program as ${user}` }
    const help = `use a cluster of version ${oldest.major}.${oldest.minor} or newer`
    return { what, ok: false, detail: `${text} is too old`, help }
  } catch (error) {
    const isUnknown = isAppError(error) && error.data?.status === 401
    const help = isUnknown
      ? "renew the credentials in kubernetes.kubeconfig"
      : "start it, or correct kubernetes.kubeconfig; from inside a Pod also check NetworkPolicies"
    return { what, ok: false, detail: messageOf(error), help }
  }
}

/** The schema of a kind's spec or status. */
const partOf = (schema: object, part: string): StructuralSchema => {
  const { properties } = schema as { properties?: Readonly<Record<string, StructuralSchema>> }
  return properties?.[part] ?? {}
}

const checkKind = ({ kind, plural, apiVersion, schema }: OwnKind, served: ReadonlyMap<string, unknown>): Finding => {
  const what = `CRD ${plural}.${apiVersion.split("/")[0]}`
  const help = "kubectl apply -f crd/ of this version"
  const theirs = served.get(kind)
  if (typeof theirs !== "object" || theirs === null)
    return { what, ok: false, detail: `${apiVersion} ${kind} is not served`, help }
  const differences = ["spec", "status"].flatMap((part) =>
    schemaDifferences(partOf(schema, part), partOf(theirs, part), part),
  )
  if (differences.length === 0) return { what, ok: true, detail: `${apiVersion} is served with this version's schema` }
  const rest = differences.length > named ? `, and ${differences.length - named} more` : ""
  return { what, ok: false, detail: `${differences.slice(0, named).join(", ")}${rest}`, help }
}

/** Checks that MCPTarget and MCPInstance are served with the schema of this program's version. */
export const checkKinds = async ({ preflight, kinds, signal }: ClusterCheck): Promise<readonly Finding[]> => {
  const [first] = kinds
  const served = await preflight.schemas(first?.apiVersion ?? "", signal)
  return kinds.map((kind) => checkKind(kind, served))
}

/** Checks that both namespaces exist. A namespace that this client may not read is no failure. */
export const checkNamespaces = ({ preflight, namespaces, signal }: ClusterCheck): Promise<readonly Finding[]> =>
  mapLimited([...new Set([namespaces.own, namespaces.instances])], async (name) => {
    const what = `namespace ${name}`
    const there = await preflight.hasNamespace(name, signal)
    if (there === false) return { what, ok: false, detail: "does not exist", help: "kubectl apply -f rbac/" }
    return { what, ok: true, detail: there ? "exists" : "may not be read by this client; see its rights in it below" }
  })

/** The rights of one grant: each of its verbs on each of its names. */
const rightsOf = (grant: Grant, { namespaces, keysSecret }: ClusterCheck): readonly Right[] => {
  const { group, resource, where } = grant
  const namespace = where === "own" ? namespaces.own : namespaces.instances
  const names = grant.names?.map((name) => (name === keysSecretName ? keysSecret : name)) ?? [undefined]
  return grant.verbs.flatMap((verb) => names.map((name) => ({ namespace, group, resource, verb, name })))
}

const rightText = ({ verb, resource, name }: Right): string =>
  `${verb} ${resource}${name === undefined ? "" : ` ${name}`}`

/** Checks that this client has all grants of an actor in one namespace; one finding. */
const checkRightsIn = async (check: ClusterCheck, actor: Actor, where: Grant["where"]): Promise<Finding> => {
  const lines = grants.filter((grant) => grant.actor === actor && grant.where === where)
  const asked = lines.flatMap((grant) => rightsOf(grant, check).map((right) => ({ grant, right })))
  const allowed = await mapLimited(asked, ({ right }) => check.preflight.may(right, check.signal))
  const missing = asked.filter((_, index) => !allowed[index])
  const namespace = where === "own" ? check.namespaces.own : check.namespaces.instances
  const what = `rights of the ${actor} in ${namespace}${where === "own" ? ", its own namespace" : ""}`
  if (missing.length === 0) return { what, ok: true, detail: `all ${asked.length}` }
  const help = `kubectl apply -f rbac/, and run as its ServiceAccount ${actorName(actor)}`
  if (missing.length === asked.length) {
    const detail = `none of ${asked.length}: no Role is bound to this client there, or the namespace does not exist`
    return { what, ok: false, detail, help }
  }
  const detail = missing.map(({ grant, right }) => `may not ${rightText(right)} (${grant.why})`).join("; ")
  return { what, ok: false, detail, help }
}

/** Checks this client's rights for the checked role; one finding for each actor and namespace. */
export const checkRights = async (check: ClusterCheck): Promise<readonly Finding[]> => {
  const findings: Finding[] = []
  for (const actor of check.actors)
    for (const where of ["instances", "own"] as const) findings.push(await checkRightsIn(check, actor, where))
  return findings
}

/** Checks that the gateway's own Secrets (session keys, bootstrap token) exist or may be created. */
export const checkSecrets = (check: ClusterCheck): Promise<readonly Finding[]> => {
  const names = [check.keysSecret, ...(check.needsBootstrapToken ? [bootstrapSecretName] : [])]
  return mapLimited(check.actors.includes("gateway") ? names : [], async (name) => {
    const { preflight, namespaces, signal } = check
    const what = `Secret ${namespaces.own}/${name}`
    const may = (verb: string, only?: string): Promise<boolean> =>
      preflight.may({ namespace: namespaces.own, group: "", resource: "secrets", verb, name: only }, signal)
    const help = "kubectl apply -f rbac/"
    if (!(await may("get", name))) return { what, ok: false, detail: "may not be read", help }
    if (await preflight.hasSecret(namespaces.own, name, signal)) return { what, ok: true, detail: "is there" }
    if (await may("create")) return { what, ok: true, detail: "is not there yet; the gateway makes it when it starts" }
    return { what, ok: false, detail: "is not there and may not be made", help }
  })
}
