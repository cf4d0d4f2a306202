import { secretKind } from "../../api/kinds/kubernetes.ts"
import type { StructuralSchema } from "../../api/schema/structural.ts"
import { hasCode } from "../../errors.ts"
import { objectPath, type Transport } from "./transport.ts"

/** One verb on one resource in one namespace. */
export type Right = {
  readonly namespace: string
  /** `""` is the core group. */
  readonly group: string
  /** Plural, with the subresource after a slash. */
  readonly resource: string
  readonly verb: string
  /** If given, the right is for the object of this name only. */
  readonly name?: string | undefined
}

/** Read-only questions to the API server, for `reflow check`. */
export type Preflight = {
  /** The server's version, e.g. `{ major: 1, minor: 35, text: "v1.35.4" }`. */
  version(signal: AbortSignal): Promise<{ readonly major: number; readonly minor: number; readonly text: string }>
  /** User name of this client at the API server, e.g. `system:serviceaccount:reflow-system:reflow-gateway`. */
  whoAmI(signal: AbortSignal): Promise<string>
  /** The schemas of a group and version (e.g. `mcp.reflow.io/v1alpha1`) by kind; empty if it is not served. */
  schemas(apiVersion: string, signal: AbortSignal): Promise<ReadonlyMap<string, StructuralSchema>>
  /** Whether this client has the right (SelfSubjectAccessReview). */
  may(right: Right, signal: AbortSignal): Promise<boolean>
  /** Whether a namespace exists; undefined if this client may not read namespaces. */
  hasNamespace(name: string, signal: AbortSignal): Promise<boolean | undefined>
  /**
   * Whether a Secret exists; its values are discarded. Throws `ApiForbidden` if this client may not read the Secret.
   */
  hasSecret(namespace: string, name: string, signal: AbortSignal): Promise<boolean>
}

type Fields = Readonly<Record<string, unknown>>

const fieldsOf = (value: unknown): Fields => (typeof value === "object" && value !== null ? (value as Fields) : {})

const at = (value: unknown, ...path: readonly string[]): unknown =>
  path.reduce<unknown>((inner, name) => fieldsOf(inner)[name], value)

/** True if the call succeeds, false for a 404; other errors are thrown. */
const isThere = async (answer: Promise<unknown>): Promise<boolean> => {
  try {
    await answer
    return true
  } catch (error) {
    if (hasCode(error, "ApiNotFound")) return false
    throw error
  }
}

const kindsIn = (document: unknown, apiVersion: string): ReadonlyMap<string, StructuralSchema> => {
  const found = new Map<string, StructuralSchema>()
  for (const schema of Object.values(fieldsOf(at(document, "components", "schemas")))) {
    const [names] = (at(schema, "x-kubernetes-group-version-kind") ?? []) as readonly Fields[]
    if (names !== undefined && `${names.group}/${names.version}` === apiVersion)
      found.set(String(names.kind), schema as StructuralSchema)
  }
  return found
}

/** Makes the preflight calls over a transport. */
export const createPreflight = (transport: Transport): Preflight => {
  const get = (path: string, what: string, signal: AbortSignal, isSecret = false): Promise<unknown> =>
    transport.json({ method: "GET", path, what, signal, isSecret })
  const review = (group: string, kind: string, spec: Fields, signal: AbortSignal): Promise<unknown> =>
    transport.json({
      method: "POST",
      path: `/apis/${group}/v1/${kind.toLowerCase()}s`,
      body: { apiVersion: `${group}/v1`, kind, spec },
      what: `create ${kind}`,
      signal,
    })

  const may = async ({ namespace, group, resource, verb, name }: Right, signal: AbortSignal): Promise<boolean> => {
    const [plural, subresource] = resource.split("/")
    const resourceAttributes = { namespace, group, resource: plural, subresource, verb, name }
    const answer = await review("authorization.k8s.io", "SelfSubjectAccessReview", { resourceAttributes }, signal)
    return at(answer, "status", "allowed") === true
  }

  return {
    may,
    version: async (signal) => {
      const answer = await get("/version", "get /version", signal)
      const number = (field: string): number => Number.parseInt(String(at(answer, field)), 10)
      return { major: number("major"), minor: number("minor"), text: String(at(answer, "gitVersion")) }
    },
    whoAmI: async (signal) => {
      const answer = await review("authentication.k8s.io", "SelfSubjectReview", {}, signal)
      return String(at(answer, "status", "userInfo", "username") ?? "nobody")
    },
    schemas: async (apiVersion, signal) => {
      const index = await get("/openapi/v3", "get /openapi/v3", signal)
      const path = at(index, "paths", `apis/${apiVersion}`, "serverRelativeURL")
      if (typeof path !== "string") return new Map()
      return kindsIn(await get(path, `get the schemas of ${apiVersion}`, signal), apiVersion)
    },
    hasNamespace: async (name, signal) => {
      const right = { namespace: name, group: "", resource: "namespaces", verb: "get", name }
      if (!(await may(right, signal))) return undefined
      return isThere(get(`/api/v1/namespaces/${encodeURIComponent(name)}`, `get namespaces ${name}`, signal))
    },
    hasSecret: (namespace, name, signal) =>
      isThere(get(objectPath(secretKind, { namespace, name }), `get secrets ${namespace}/${name}`, signal, true)),
  }
}
