import { apiGroup } from "../../api/kinds/kind.ts"

/** A role of the program that calls the Kubernetes API; each has its own ServiceAccount. */
export type Actor = "operator" | "gateway"

/**
 * One permission of an actor. `rbac/` is generated from these; `reflow check` tests each of them against the cluster.
 */
export type Grant = {
  readonly actor: Actor
  /** `instances`: the namespace of the MCPInstance objects; `own`: the namespace that the actor runs in. */
  readonly where: "instances" | "own"
  /** `""` is Kubernetes' core group. */
  readonly group: string
  /** Plural, with the subresource after a slash. */
  readonly resource: string
  readonly verbs: readonly string[]
  /** If given, the permission is for objects of these names only. */
  readonly names?: readonly string[]
  /** Why the actor needs it; becomes a comment in `rbac/`. */
  readonly why: string
  /** Verbs that may be missing in an audit log of the cluster, each with the reason. */
  readonly unseen?: Readonly<Record<string, string>>
}

/** Name of the Secret with the bootstrap token of the administrator. */
export const bootstrapSecretName = "reflow-bootstrap-token"

/** Default name of the Secret with the session keys (gateway.keys_secret). */
export const keysSecretName = "reflow-gateway-keys"

/** Name of the operator's Lease. */
export const leaseName = "reflow-operator"

/**
 * Name of the Lease on which each gateway renews its own annotation, to show that it runs (src/signals/presence.ts).
 */
export const gatewaysLeaseName = "reflow-gateways"

/** All permissions of the two roles. There is no ClusterRole, and no permission outside the two namespaces. */
export const grants: readonly Grant[] = [
  {
    actor: "operator",
    where: "instances",
    group: apiGroup,
    resource: "mcpinstances",
    verbs: ["get", "list", "watch", "patch", "delete"],
    why: "watches them, updates them when their target changes, deletes them",
  },
  {
    actor: "operator",
    where: "instances",
    group: apiGroup,
    resource: "mcpinstances/status",
    verbs: ["patch"],
    why: "writes their state",
  },
  {
    actor: "operator",
    where: "instances",
    group: apiGroup,
    resource: "mcpinstances/finalizers",
    verbs: ["update"],
    why: "owner references with blockOwnerDeletion, which OpenShift checks",
    unseen: { update: "a permission that is checked, never a request" },
  },
  {
    actor: "operator",
    where: "instances",
    group: apiGroup,
    resource: "mcptargets",
    verbs: ["get", "list", "watch"],
    why: "watches them",
  },
  {
    actor: "operator",
    where: "instances",
    group: apiGroup,
    resource: "mcptargets/status",
    verbs: ["patch"],
    why: "writes the number of instances and whether a target is accepted",
  },
  {
    actor: "operator",
    where: "instances",
    group: "",
    resource: "pods",
    verbs: ["get", "list", "watch", "create", "delete"],
    why: "runs the servers",
  },
  {
    actor: "operator",
    where: "instances",
    group: "",
    resource: "services",
    verbs: ["get", "list", "watch", "create", "patch", "delete"],
    why: "makes the servers reachable",
  },
  {
    actor: "operator",
    where: "instances",
    group: "",
    resource: "events",
    verbs: ["create", "patch", "list"],
    why: "records Events; reads a Pod's Events when its status does not say why a probe fails",
  },
  {
    actor: "operator",
    where: "instances",
    group: "",
    resource: "configmaps",
    verbs: ["get", "create"],
    why: "keeps the ConfigMap with the bridge of stdio servers, whose name has a digest; RBAC cannot limit a create by name",
  },
  {
    actor: "operator",
    where: "own",
    group: "coordination.k8s.io",
    resource: "leases",
    verbs: ["get", "update"],
    names: [leaseName],
    why: "leader election",
  },
  {
    actor: "operator",
    where: "own",
    group: "coordination.k8s.io",
    resource: "leases",
    verbs: ["create"],
    why: "creates the Lease of the leader election on first start; RBAC cannot limit a create by name",
  },
  {
    actor: "operator",
    where: "own",
    group: "coordination.k8s.io",
    resource: "leases",
    verbs: ["list", "watch"],
    names: [gatewaysLeaseName],
    why: "knows which gateways run, because a drain waits for each of them",
  },
  {
    actor: "gateway",
    where: "instances",
    group: apiGroup,
    resource: "mcptargets",
    verbs: ["get", "list", "watch", "create", "patch", "delete"],
    why: "watches them; the REST API creates, changes and deletes them",
  },
  {
    actor: "gateway",
    where: "instances",
    group: apiGroup,
    resource: "mcpinstances",
    verbs: ["get", "list", "watch", "create", "patch", "delete"],
    why: "creates and watches them; the REST API restarts them",
  },
  {
    actor: "gateway",
    where: "instances",
    group: apiGroup,
    resource: "mcpinstances/status",
    verbs: ["patch"],
    why: "records use",
  },
  {
    actor: "gateway",
    where: "instances",
    group: "",
    resource: "pods/log",
    verbs: ["get"],
    why: "shows users the log of their own server, and administrators the log of every server",
  },
  {
    actor: "gateway",
    where: "instances",
    group: "",
    resource: "secrets",
    verbs: ["get", "create", "patch", "delete"],
    why: "credentials, by computed names; RBAC cannot limit a create by name; no role may list Secrets",
  },
  {
    actor: "gateway",
    where: "instances",
    group: "",
    resource: "events",
    verbs: ["create", "patch"],
    why: "records Events about instances",
  },
  {
    actor: "gateway",
    where: "own",
    group: "",
    resource: "secrets",
    verbs: ["get", "patch"],
    names: [keysSecretName],
    why: "the keys that encrypt session ids, which the gateway rotates",
  },
  {
    actor: "gateway",
    where: "own",
    group: "",
    resource: "secrets",
    verbs: ["get"],
    names: [bootstrapSecretName],
    why: "the bootstrap admin token",
  },
  {
    actor: "gateway",
    where: "own",
    group: "",
    resource: "secrets",
    verbs: ["create"],
    why: "creates these two Secrets on first start; RBAC cannot limit a create by name",
  },
  {
    actor: "gateway",
    where: "own",
    group: "coordination.k8s.io",
    resource: "leases",
    verbs: ["patch"],
    names: [gatewaysLeaseName],
    why: "shows that it runs, by its annotation; it cannot write the operator's Lease",
  },
  {
    actor: "gateway",
    where: "own",
    group: "coordination.k8s.io",
    resource: "leases",
    verbs: ["create"],
    why: "creates this Lease on first start; RBAC cannot limit a create by name",
  },
]
