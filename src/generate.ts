/**
 * `npm run generate`: writes crd/ and rbac/ from the kinds and the table of grants, NetworkPolicies from the configuration in
 * manager/, the chart's copies of all of them, and src/api/pod-shapes.ts. Not part of the program.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import { Document, isMap, isSeq, parse, stringify } from "yaml"
import type { Actor } from "./adapters/kube/access.ts"
import { type ExplainedPolicy, toIPv6Policy, toNetworkPolicies } from "./adapters/kube/network-policies.ts"
import { linesOf, type Namespaces, toRBAC } from "./adapters/kube/rbac.ts"
import { MCPInstanceSpec, MCPInstanceStatus, mcpInstanceKind } from "./api/kinds/mcp-instance.ts"
import { MCPTargetSpec, MCPTargetStatus, mcpTargetKind } from "./api/kinds/mcp-target.ts"
import { toCRD } from "./api/schema/structural.ts"
import { chartFiles } from "./generate/chart.ts"
import { podShapesFile } from "./generate/pod-shapes.ts"

/** The namespaces of an installation by kubectl; `kubernetes.namespace` in manager/ has the same name. */
export const namespaces: Namespaces = { own: "reflow-system", instances: "reflow" }

const format = { lineWidth: 120, aliasDuplicateObjects: false } as const

const header = "# Made by `npm run generate`; a change here is lost.\n"

/** A Namespace whose Pods must meet the Pod Security Standard `restricted`, in the version of the cluster. */
const toNamespace = (name: string) => ({
  apiVersion: "v1",
  kind: "Namespace",
  metadata: {
    name,
    labels: {
      "app.kubernetes.io/part-of": "reflow-gateway",
      ...Object.fromEntries(
        ["enforce", "warn", "audit"].flatMap((mode) => [
          [`pod-security.kubernetes.io/${mode}`, "restricted"],
          [`pod-security.kubernetes.io/${mode}-version`, "latest"],
        ]),
      ),
    },
  },
})

/** An RBAC object as YAML; each rule of a Role has its reason as a comment. */
const withReasons = (object: ReturnType<typeof toRBAC>[number], actor: Actor): string => {
  const document = new Document(object, { aliasDuplicateObjects: false })
  const rules = document.get("rules")
  const reasons = linesOf(actor, object.metadata.namespace === namespaces.own ? "own" : "instances")
  for (const [index, rule] of isSeq(rules) ? rules.items.entries() : []) {
    if (!isMap(rule)) continue
    rule.commentBefore = ` ${reasons[index]?.why}`
    for (const { value } of rule.items) if (isSeq(value)) value.flow = true
  }
  return document.toString({ ...format, flowCollectionPadding: false })
}

const rbacFile = (actor: Actor): string =>
  header +
  toRBAC(actor, namespaces)
    .map((object) => withReasons(object, actor))
    .join("---\n")

const yamlFile = (...objects: readonly object[]): string =>
  header + objects.map((object) => stringify(object, format)).join("---\n")

/** NetworkPolicies as YAML, each with its reason as a comment. */
const policyFile = (policies: readonly ExplainedPolicy[]): string =>
  header +
  "# Needs a network that enforces NetworkPolicies. kubernetes.cluster_cidrs of 10-config.yaml is among the exceptions.\n" +
  policies.map(({ why, policy }) => `# ${why}\n${stringify(policy, format)}`).join("---\n")

/**
 * `kubernetes.cluster_cidrs` of a ConfigMap such as manager/10-config.yaml; the configuration schema checks their form.
 */
export const readClusterCidrs = (manifest: string): readonly string[] => {
  const { data } = parse(manifest) as { data: { "reflow.yaml": string } }
  const config = parse(data["reflow.yaml"]) as { kubernetes?: { cluster_cidrs?: readonly string[] } }
  return config.kubernetes?.cluster_cidrs ?? []
}

const root = resolve(import.meta.dirname, "..")
const readConfigMap = (): string => readFileSync(join(root, "manager/10-config.yaml"), "utf8")

/** Every generated manifest by its path from the root of the repository, for a ConfigMap of the configuration. */
const manifests = (configMap: string): ReadonlyMap<string, string> => {
  const cidrs = readClusterCidrs(configMap)
  return new Map([
    ["crd/mcpinstances.yaml", yamlFile(toCRD(mcpInstanceKind, { spec: MCPInstanceSpec, status: MCPInstanceStatus }))],
    ["crd/mcptargets.yaml", yamlFile(toCRD(mcpTargetKind, { spec: MCPTargetSpec, status: MCPTargetStatus }))],
    ["rbac/00-namespaces.yaml", yamlFile(toNamespace(namespaces.own), toNamespace(namespaces.instances))],
    ["rbac/gateway.yaml", rbacFile("gateway")],
    ["rbac/operator.yaml", rbacFile("operator")],
    ["manager/40-network-policies.yaml", policyFile(toNetworkPolicies(namespaces, cidrs))],
    ["examples/network-policies/public-ipv6.yaml", policyFile([toIPv6Policy(namespaces, cidrs)])],
  ])
}

/** Every generated file by its path from the root of the repository, for a ConfigMap of the configuration. */
export const generatedFiles = (configMap = readConfigMap()): ReadonlyMap<string, string> => {
  const made = manifests(configMap)
  return new Map([...made, ...chartFiles(made, root), ["src/api/pod-shapes.ts", podShapesFile(root)]])
}

if (import.meta.main)
  for (const [path, text] of generatedFiles()) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
