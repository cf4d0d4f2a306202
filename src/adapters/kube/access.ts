import { apiGroup } from "../../api/kinds/kind.ts"

/** Who acts: each role of the program has a ServiceAccount of its own. */
export type Actor = "operator" | "gateway"

/** One line of what an actor may do. `rbac/` is generated from these lines; `reflow check` asks for each of them. */
export type Grant = {
  readonly actor: Actor
  /** `instances`: the namespace of the MCPInstance objects; `own`: the namespace that the actor runs in. */
  readonly where: "instances" | "own"
  /** `""` is Kubernetes' core group. */
  readonly group: string
  /** Plural, with the subresource after a slash. */
  readonly resource: string
  readonly verbs: readonly string[]
  /** Only objects of these names. */
  readonly names?: readonly string[]
  /** Why it is needed. */
  readonly why: string
  /** Verbs that an audit log need not show, each with the reason. */
  readonly unseen?: Readonly<Record<string, string>>
}

/** Name of the Secret with the bootstrap admin token. */
export const bootstrapSecretName = "reflow-bootstrap-token"

/** Name of the Secret with the session keys, as gateway.keys_secret is by default. */
export const keysSecretName = "reflow-gateway-keys"

/** Name of the operator's Lease. */
export const leaseName = "reflow-operator"

/** Name of the Lease in which gateways say that they live, each by an annotation of its own. */
export const gatewaysLeaseName = "reflow-gateways"

/** Everything that the two roles may do. No ClusterRole, nothing outside two namespaces. */
export const grants: readonly Grant[] = [
  {
    actor: "operator",
    where: "instances",
    group: apiGroup,
    resource: "mcpinstances",
    verbs: ["get", "list", "watch", "patch", "delete"],
    why: "follows them, rolls target changes into them, collects them",
  },
  {
    actor: "operator",
    where: "instances",
    group: apiGroup,
    resource: "mcpinstances/status",
    verbs: ["patch"],
    why: "tells their state",
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
    why: "follows them",
  },
  {
    actor: "operator",
    where: "instances",
    group: apiGroup,
    resource: "mcptargets/status",
    verbs: ["patch"],
    why: "tells counts and whether a target is accepted",
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
    why: "tells transitions; reads a Pod's Events when its status does not say why a probe fails",
  },
  {
    actor: "operator",
    where: "own",
    group: "coordination.k8s.io",
    resource: "leases",
    verbs: ["get", "update"],
    names: [leaseName],
    why: "one leader",
  },
  {
    actor: "operator",
    where: "own",
    group: "coordination.k8s.io",
    resource: "leases",
    verbs: ["create"],
    why: "makes that Lease on first start; RBAC cannot narrow a create by name",
  },
  {
    actor: "operator",
    where: "own",
    group: "coordination.k8s.io",
    resource: "leases",
    verbs: ["list", "watch"],
    names: [gatewaysLeaseName],
    why: "knows which gateways live, for which a drain waits",
  },
  {
    actor: "gateway",
    where: "instances",
    group: apiGroup,
    resource: "mcptargets",
    verbs: ["get", "list", "watch", "create", "patch", "delete"],
    why: "follows them; the REST API makes, changes and deletes them",
  },
  {
    actor: "gateway",
    where: "instances",
    group: apiGroup,
    resource: "mcpinstances",
    verbs: ["get", "list", "watch", "create", "patch", "delete"],
    why: "asks for instances and follows them; the REST API restarts them",
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
    why: "shows users the log of their own server, and administrators every one",
  },
  {
    actor: "gateway",
    where: "instances",
    group: "",
    resource: "secrets",
    verbs: ["get", "create", "patch", "delete"],
    why: "credentials, by computed names; RBAC cannot narrow a create by name, and nobody may list them",
  },
  {
    actor: "gateway",
    where: "instances",
    group: "",
    resource: "events",
    verbs: ["create", "patch"],
    why: "tells what a person should know about an instance",
  },
  {
    actor: "gateway",
    where: "own",
    group: "",
    resource: "secrets",
    verbs: ["get", "patch"],
    names: [keysSecretName],
    why: "the keys that seal session ids, which it rotates",
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
    why: "makes those two on first start; RBAC cannot narrow a create by name",
  },
  {
    actor: "gateway",
    where: "own",
    group: "coordination.k8s.io",
    resource: "leases",
    verbs: ["patch"],
    names: [gatewaysLeaseName],
    why: "says that it lives; it cannot write the operator's Lease",
  },
  {
    actor: "gateway",
    where: "own",
    group: "coordination.k8s.io",
    resource: "leases",
    verbs: ["create"],
    why: "makes that Lease on first start; RBAC cannot narrow a create by name",
  },
]
