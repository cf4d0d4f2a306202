import { type Actor, type Grant, grants } from "./access.ts"

/** The namespaces of an installation. */
export type Namespaces = {
  /** Namespace of operator and gateway. */
  readonly own: string
  /** Namespace of the MCPInstance objects. */
  readonly instances: string
}

/** Name of an actor's ServiceAccount, Roles and Deployment. */
export const actorName = (actor: Actor): string => `reflow-${actor}`

const metadata = (actor: Actor, namespace: string) => ({
  name: actorName(actor),
  namespace,
  labels: { "app.kubernetes.io/name": actorName(actor), "app.kubernetes.io/part-of": "reflow-gateway" },
})

const toRule = ({ group, resource, verbs, names }: Grant) => ({
  apiGroups: [group],
  resources: [resource],
  ...(names === undefined ? {} : { resourceNames: names }),
  verbs,
})

const rbac = { apiGroup: "rbac.authorization.k8s.io", apiVersion: "rbac.authorization.k8s.io/v1" } as const

const toRole = (actor: Actor, namespace: string, lines: readonly Grant[]) => ({
  apiVersion: rbac.apiVersion,
  kind: "Role" as const,
  metadata: metadata(actor, namespace),
  rules: lines.map(toRule),
})

const toBinding = (actor: Actor, namespace: string, own: string) => ({
  apiVersion: rbac.apiVersion,
  kind: "RoleBinding" as const,
  metadata: metadata(actor, namespace),
  roleRef: { apiGroup: rbac.apiGroup, kind: "Role", name: actorName(actor) },
  subjects: [{ kind: "ServiceAccount", name: actorName(actor), namespace: own }],
})

const toServiceAccount = (actor: Actor, namespace: string) => ({
  apiVersion: "v1" as const,
  kind: "ServiceAccount" as const,
  metadata: metadata(actor, namespace),
})

/** The permissions of an actor in one of the two namespaces, in the order of the rules of its Role. */
export const linesOf = (actor: Actor, where: Grant["where"]): readonly Grant[] =>
  grants.filter((grant) => grant.actor === actor && grant.where === where)

/** An actor's ServiceAccount, Roles and RoleBindings, for `kubectl apply`. */
export const toRBAC = (actor: Actor, { own, instances }: Namespaces) => [
  toServiceAccount(actor, own),
  ...(["instances", "own"] as const).flatMap((where) => {
    const namespace = where === "own" ? own : instances
    return [toRole(actor, namespace, linesOf(actor, where)), toBinding(actor, namespace, own)]
  }),
]
