import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { afterAll, describe, expect, test } from "vitest"
import { parseAllDocuments } from "yaml"
import {
  type Actor,
  bootstrapSecretName,
  gatewaysLeaseName,
  grants,
  keysSecretName,
  leaseName,
} from "../../src/adapters/kube/access.ts"
import { loadConfig } from "../../src/config/load.ts"
import { generatedFiles, namespaces } from "../../src/generate.ts"
import { version } from "../../src/version.ts"

const root = resolve(import.meta.dirname, "../..")

/** What the tests read of a manifest. */
type Manifest = {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly labels?: Record<string, string> }
  readonly data?: Record<string, string>
  // biome-ignore lint/suspicious/noExplicitAny: manifests of many kinds; an absent field fails the test that asks for it
  readonly spec?: any
  readonly rules?: readonly { apiGroups: string[]; resources: string[]; resourceNames?: string[]; verbs: string[] }[]
}

const read = (pattern: string): Manifest[] =>
  globSync(pattern, { cwd: root })
    .sort()
    .flatMap((path) => parseAllDocuments(readFileSync(join(root, path), "utf8")))
    .map((document) => document.toJS() as Manifest)

const manifests = read("{crd,rbac,manager}/*.yaml")
const find = (kind: string, name: string, namespace?: string): Manifest => {
  const found = manifests.find(
    (each) => each.kind === kind && each.metadata.name === name && each.metadata.namespace === namespace,
  )
  if (found === undefined) throw new Error(`no ${kind} ${namespace}/${name}`)
  return found
}

test.each([...generatedFiles()])("%s is what `npm run generate` writes", (path, text) => {
  expect(readFileSync(join(root, path), "utf8")).toBe(text)
})

test("crd/, rbac/ and chart/files/ hold nothing but what is generated", () => {
  const made = [...generatedFiles().keys()].filter((path) => /^(crd|rbac|chart\/files)\//.test(path))
  expect(globSync("{crd,rbac,chart/files/*}/*", { cwd: root }).sort()).toEqual(made.sort())
})

describe("rights", () => {
  test.each<Actor>(["operator", "gateway"])("the Roles of the %s grant the table's lines and no more", (actor) => {
    for (const where of ["own", "instances"] as const) {
      const { rules } = find("Role", `reflow-${actor}`, namespaces[where])
      expect(rules).toEqual(
        grants
          .filter((grant) => grant.actor === actor && grant.where === where)
          .map(({ group, resource, verbs, names }) => ({
            apiGroups: [group],
            resources: [resource],
            ...(names === undefined ? {} : { resourceNames: names }),
            verbs,
          })),
      )
    }
  })

  test("nothing is granted for the whole cluster, by a wildcard, or by aggregation into other roles", () => {
    for (const { kind, metadata, rules = [] } of manifests) {
      expect(kind).not.toMatch(/^Cluster/)
      expect(Object.keys(metadata.labels ?? {}).filter((label) => label.includes("aggregate-to"))).toEqual([])
      for (const rule of rules) expect(JSON.stringify(rule)).not.toContain("*")
    }
  })

  test("the operator has no right on Secrets or logs; the gateway lists and watches no Secret", () => {
    const verbs = (actor: Actor, resource: string) =>
      grants.filter((each) => each.actor === actor && each.resource === resource).flatMap((each) => each.verbs)
    expect([...verbs("operator", "secrets"), ...verbs("operator", "pods/log")]).toEqual([])
    expect(verbs("gateway", "secrets")).not.toEqual(expect.arrayContaining(["list"]))
    expect(verbs("gateway", "secrets")).not.toEqual(expect.arrayContaining(["watch"]))
    expect(verbs("gateway", "services")).toEqual([])
  })

  test("what is named in the own namespace is named in the rights, but for creates, which RBAC cannot narrow", () => {
    for (const { where, verbs, names } of grants)
      if (where === "own" && !verbs.includes("create"))
        expect([[keysSecretName], [bootstrapSecretName], [leaseName], [gatewaysLeaseName]]).toContainEqual(names)
  })

  test("each line says what it is for", () => {
    expect(grants.filter(({ why }) => why.length < 10)).toEqual([])
  })
})

describe("manifests", () => {
  const workloads = manifests.filter(({ kind }) => kind === "Deployment")

  test("every object belongs to one of the two namespaces and to reflow-gateway", () => {
    for (const { kind, metadata } of manifests) {
      expect(metadata.labels?.["app.kubernetes.io/part-of"], `${kind} ${metadata.name}`).toBe("reflow-gateway")
      if (kind === "Namespace") expect(Object.values(namespaces)).toContain(metadata.name)
      else if (kind !== "CustomResourceDefinition") expect(Object.values(namespaces)).toContain(metadata.namespace)
    }
  })

  test("namespaces come before what lies in them, in the order in which kubectl reads the folders", () => {
    const placed = read("rbac/*.yaml").map(({ kind }) => kind)
    expect(placed.lastIndexOf("Namespace")).toBeLessThan(placed.findIndex((kind) => kind !== "Namespace"))
  })

  const folder = mkdtempSync(join(tmpdir(), "reflow-config-"))
  afterAll(() => rmSync(folder, { recursive: true }))

  /** The ConfigMap's file as a role loads it. */
  const load = (role: "gateway" | "operator") => {
    const file = join(folder, "reflow.yaml")
    writeFileSync(file, find("ConfigMap", "reflow", namespaces.own).data?.["reflow.yaml"] ?? "")
    return loadConfig({ settings: { file, assignments: [] }, role, environment: {} })
  }

  test("the configuration is valid for both roles, without a warning, and names the namespace of the instances", () => {
    for (const role of ["gateway", "operator"] as const) {
      const { config, warnings } = load(role)
      expect(warnings).toEqual([])
      expect(config.kubernetes).toMatchObject({ enabled: true, namespace: namespaces.instances, kubeconfig: "" })
      expect(keysSecretName).toBe(config.gateway.keys_secret)
    }
  })

  test.each(workloads)("the Pods of $metadata.name meet the restricted standard, with a read-only root", ({ spec }) => {
    const pod = spec.template.spec
    expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } })
    expect([pod.hostNetwork, pod.hostPID, pod.hostIPC]).toEqual([undefined, undefined, undefined])
    for (const container of pod.containers) {
      expect(container.securityContext).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ["ALL"] },
      })
      expect(container.image).toBe(`ghcr.io/reflow/reflow-gateway:${version}`)
      expect(container.resources.requests).toMatchObject({ cpu: expect.any(String), memory: expect.any(String) })
      expect(container.resources.limits.memory).toEqual(expect.any(String))
    }
  })

  test.each(workloads)(
    "the Pods of $metadata.name run their role, with their ServiceAccount, and are probed",
    (each) => {
      const actor = each.metadata.name.replace("reflow-", "")
      const pod = each.spec.template.spec
      const [container] = pod.containers
      expect(pod.serviceAccountName).toBe(`reflow-${actor}`)
      expect(find("ServiceAccount", `reflow-${actor}`, namespaces.own)).toBeDefined()
      expect(container.args).toEqual(["--role", actor, "--config", "/etc/reflow/reflow.yaml"])
      expect(container.startupProbe.httpGet).toEqual({ path: "/healthz", port: "metrics" })
      expect(container.livenessProbe.httpGet).toEqual({ path: "/healthz", port: "metrics" })
      expect(container.readinessProbe.httpGet).toEqual({ path: "/readyz", port: "metrics" })
    },
  )

  test("a Pod is given longer to end than its role takes to drain", () => {
    const { config } = load("gateway")
    const { terminationGracePeriodSeconds } = find("Deployment", "reflow-gateway", namespaces.own).spec.template.spec
    expect(terminationGracePeriodSeconds * 1000).toBeGreaterThan(config.kubernetes.drain_timeout + 15_000)
  })

  test("the gateway's Service and PodDisruptionBudget select its Pods", () => {
    const { spec } = find("Deployment", "reflow-gateway", namespaces.own)
    const labels = spec.template.metadata.labels
    expect(labels).toMatchObject(find("Service", "reflow-gateway", namespaces.own).spec.selector)
    expect(labels).toMatchObject(
      find("PodDisruptionBudget", "reflow-gateway", namespaces.own).spec.selector.matchLabels,
    )
    expect(spec.replicas).toBeGreaterThan(1)
  })
})
