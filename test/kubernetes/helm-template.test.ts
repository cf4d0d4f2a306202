/** What the chart makes of its values, and what it refuses. Only two tests ask the cluster. */
import { globSync, readFileSync } from "node:fs"
import { expect, test } from "vitest"
import { parse } from "yaml"
import { grants, keysSecretName } from "../../src/adapters/kube/access.ts"
import { checkLayer } from "../../src/config/check.ts"
import { repositoryFile } from "../support/reflow.ts"
import { kubectl } from "./support/cluster.ts"
import { blockOf } from "./support/commands.ts"
import { chart, describeChart, helm, objectsOf, type Rendered, render } from "./support/helm.ts"

const nameOf = ({ kind, metadata }: Rendered): string => `${kind} ${metadata.namespace ?? ""}/${metadata.name}`

const helmLabels = ["helm.sh/chart", "app.kubernetes.io/managed-by", "app.kubernetes.io/instance"]
const helmAnnotations = ["helm.sh/resource-policy"]

/** Without these keys; undefined if nothing is left. */
const without = (fields: Readonly<Record<string, string>> | undefined, keys: readonly string[]) => {
  const rest = Object.entries(fields ?? {}).filter(([key]) => !keys.includes(key))
  return rest.length === 0 ? undefined : Object.fromEntries(rest)
}

/** By name, without Helm's own labels; a configuration file by what stands in it. */
const plain = (objects: readonly Rendered[]): Readonly<Record<string, unknown>> =>
  Object.fromEntries(
    objects.map((object) => {
      const { labels, annotations, ...metadata } = object.metadata
      const data = object.data?.["reflow.yaml"]
      return [
        nameOf(object),
        {
          ...object,
          metadata: {
            ...metadata,
            labels: without(labels, helmLabels),
            annotations: without(annotations, helmAnnotations),
          },
          data: data === undefined ? object.data : { ...object.data, "reflow.yaml": parse(data) },
        },
      ]
    }),
  )

const folders = objectsOf(
  globSync(repositoryFile("{crd,rbac,manager}/*.yaml"))
    .map((path) => readFileSync(path, "utf8"))
    .join("\n---\n"),
)

const find = (objects: readonly Rendered[], kind: string, name = "reflow-gateway"): Rendered => {
  const found = objects.find((each) => each.kind === kind && each.metadata.name === name)
  if (found === undefined) throw new Error(`no ${kind} ${name}`)
  return found
}

const kinds = (objects: readonly Rendered[]): string[] => objects.map(nameOf).sort()

const publicUrl = { config: { gateway: { public_url: "https://mcp.example.com:8443" } } }
const withUrl = (gateway: object) => ({ ...publicUrl, gateway })

describeChart("with its defaults the chart", () => {
  test("has the objects of crd/, rbac/ and manager/, field by field, Helm's own labels aside", async () => {
    const rendered = await render()
    expect(folders.length).toBeGreaterThan(15)
    expect(kinds(rendered)).toEqual(kinds(folders))
    expect(plain(rendered)).toEqual(plain(folders))
  })

  test("has Helm's labels on each object, and keeps kinds and namespaces", async () => {
    for (const object of await render()) {
      expect(object.metadata.labels, nameOf(object)).toMatchObject({ "app.kubernetes.io/instance": "reflow-operator" })
      const isKept = ["CustomResourceDefinition", "Namespace"].includes(object.kind)
      expect(object.metadata.annotations?.["helm.sh/resource-policy"], nameOf(object)).toBe(isKept ? "keep" : undefined)
    }
  })

  test("differs as soon as a value does", async () => {
    const expected = plain(folders)
    for (const values of [{ gateway: { replicas: 3 } }, { image: { tag: "1.2.3" } }, publicUrl])
      expect(plain(await render({ values }))).not.toEqual(expected)
  })

  test("is accepted by helm lint, strictly", async () => {
    expect(await helm(["lint", "--strict", chart, "--namespace", "reflow-system"])).toContain("0 chart(s) failed")
  })
})

describeChart("in other namespaces the chart", () => {
  test("names neither of the two that it has by default", async () => {
    const objects = await render({ namespace: "own-ns", values: { namespaces: { instances: "their-ns" } } })
    expect(kinds(objects)).toEqual(
      kinds(folders)
        .map((name) =>
          name
            .replace(" reflow-system/", " own-ns/")
            .replace(" reflow/", " their-ns/")
            .replace("/reflow-system", "/own-ns")
            .replace(/^Namespace \/reflow$/, "Namespace /their-ns"),
        )
        .sort(),
    )
    const text = JSON.stringify(objects.filter(({ kind }) => kind !== "CustomResourceDefinition"))
    expect(text).not.toContain("reflow-system")
    expect(text).not.toMatch(/"(namespace|kubernetes\.io\/metadata\.name)":"reflow"/)
    const config = parse(find(objects, "ConfigMap", "reflow").data?.["reflow.yaml"] ?? "")
    expect(config.kubernetes.namespace).toBe("their-ns")
    expect(config.gateway.public_url).toBe("http://reflow-gateway.own-ns.svc")
  })

  test("has no kinds and no namespaces where others own them", async () => {
    const objects = await render({ values: { crds: { install: false }, namespaces: { create: false } } })
    expect(kinds(objects)).toEqual(kinds(folders).filter((name) => !/^(Custom|Namespace )/.test(name)))
  })

  test("leaves namespaces alone that are there and not its own, and makes those that are not", async () => {
    const objects = await helm([
      "template",
      "reflow-operator",
      chart,
      ...["--namespace", "reflow-not-there", "--set", "namespaces.instances=default", "--skip-tests"],
      "--dry-run=server",
    ])
    expect(
      objectsOf(objects)
        .filter(({ kind }) => kind === "Namespace")
        .map(nameOf),
    ).toEqual(["Namespace /reflow-not-there"])
  })
})

describeChart("the operator alone", () => {
  test("has nothing of the gateway", async () => {
    const objects = await render({ values: { gateway: { enabled: false }, serviceMonitor: { enabled: true } } })
    expect(objects.filter(({ metadata }) => metadata.name.includes("gateway"))).toEqual([])
    expect(kinds(objects)).toEqual(expect.arrayContaining(["Deployment reflow-system/reflow-operator"]))
    expect(kinds(objects)).toEqual(expect.arrayContaining(["Role reflow/reflow-operator"]))
  })
})

describeChart("values", () => {
  /** The Pod of a Deployment with these values for its role. */
  const podWith = async (values: object, role = "gateway") => {
    const { spec } = find(await render({ values }), "Deployment", `reflow-${role}`)
    return {
      ...spec.template.spec,
      container: spec.template.spec.containers[0],
      metadata: spec.template.metadata,
      all: spec,
    }
  }

  test("reach the Pods of both roles: image, pull secrets, environment, resources, scheduling, volumes", async () => {
    const role = {
      env: [{ name: "VAULT_TOKEN", valueFrom: { secretKeyRef: { name: "vault", key: "token" } } }],
      envFrom: [{ secretRef: { name: "more" } }],
      resources: { limits: { memory: "2Gi" } },
      nodeSelector: { pool: "a" },
      tolerations: [{ key: "dedicated", operator: "Exists" }],
      affinity: { nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [] } },
      priorityClassName: "high",
      podAnnotations: { note: "x" },
      podLabels: { team: "a", "app.kubernetes.io/name": "stolen" },
      volumes: [{ name: "ca", configMap: { name: "ca" } }],
      volumeMounts: [{ name: "ca", mountPath: "/ca" }],
      serviceAccount: { annotations: { cloud: "role" } },
    }
    const values = {
      operator: role,
      gateway: role,
      image: { repository: "r.example/reflow", digest: `sha256:${"0".repeat(64)}`, pullPolicy: "Always" },
      imagePullSecrets: [{ name: "registry" }],
    }
    for (const each of ["operator", "gateway"]) {
      const pod = await podWith(values, each)
      expect(pod.container).toMatchObject({
        image: `r.example/reflow@sha256:${"0".repeat(64)}`,
        imagePullPolicy: "Always",
        env: role.env,
        envFrom: role.envFrom,
        resources: { limits: { memory: "2Gi" }, requests: { cpu: expect.any(String) } },
      })
      expect(pod).toMatchObject({
        imagePullSecrets: [{ name: "registry" }],
        nodeSelector: role.nodeSelector,
        tolerations: role.tolerations,
        affinity: role.affinity,
        priorityClassName: "high",
        serviceAccountName: `reflow-${each}`,
      })
      expect(pod.volumes.map(({ name }: { name: string }) => name)).toEqual(["config", "ca"])
      expect(pod.container.volumeMounts.map(({ mountPath }: { mountPath: string }) => mountPath)).toContain("/ca")
      expect(pod.metadata.labels).toMatchObject({ team: "a", "app.kubernetes.io/name": `reflow-${each}` })
      expect(pod.metadata.annotations).toMatchObject({ note: "x" })
      const account = find(await render({ values }), "ServiceAccount", `reflow-${each}`)
      expect(account.metadata.annotations).toEqual({ cloud: "role" })
    }
  })

  test("of the configuration replace single keys, false and empty ones too, and restart the Pods", async () => {
    const config = {
      kubernetes: { max_instances: 7, evict_idle: false },
      gateway: { allowed_hosts: [], keys_secret: "mine" },
      log: { level: "debug" },
    }
    const objects = await render({ values: { config } })
    expect(parse(find(objects, "ConfigMap", "reflow").data?.["reflow.yaml"] ?? "")).toMatchObject({
      kubernetes: { namespace: "reflow", idle_ttl: "30m", max_instances: 7, evict_idle: false },
      gateway: { allowed_hosts: [], keys_secret: "mine", public_url: "http://reflow-gateway.reflow-system.svc" },
      log: { level: "debug" },
    })
    const sums = await Promise.all(
      [{ config }, { config: { log: { level: "info" } } }].map(
        async (values) => (await podWith(values)).metadata.annotations["checksum/config"],
      ),
    )
    expect(sums[0]).toMatch(/^[0-9a-f]{64}$/)
    expect(sums[1]).not.toBe(sums[0])
  })

  test("name the gateway's own Secret of session keys in its rights", async () => {
    expect(grants.some(({ names }) => names?.includes(keysSecretName))).toBe(true)
    const objects = await render({ values: { config: { gateway: { keys_secret: "mine" } } } })
    const names = objects.flatMap(({ rules = [] }) => rules.flatMap(({ resourceNames = [] }) => resourceNames))
    expect(names).toContain("mine")
    expect(names).not.toContain(keysSecretName)
  })

  test.each([
    ["90s", 120],
    ["2m", 150],
    ["1h0.5m", 3660],
    ["1s", 90],
  ])("of %s as drain_timeout leave the Pods %d s to end", async (drain, seconds) => {
    const pod = await podWith({ config: { kubernetes: { drain_timeout: drain } } })
    expect(pod.terminationGracePeriodSeconds).toBe(seconds)
  })

  test("give plugins from files or a ConfigMap to both roles, and restart the Pods when a file changes", async () => {
    const config = { plugins: [{ path: "/plugins/tenant.mjs" }] }
    const files = { "tenant.mjs": "export default {}\n" }
    for (const plugins of [{ files }, { configMap: "ours" }])
      for (const role of ["operator", "gateway"]) {
        const pod = await podWith({ config, plugins }, role)
        const name = "files" in plugins ? "reflow-plugins" : "ours"
        expect(pod.volumes).toContainEqual({ name: "plugins", configMap: { name } })
        expect(pod.container.volumeMounts).toContainEqual({ name: "plugins", mountPath: "/plugins", readOnly: true })
      }
    expect(find(await render({ values: { config, plugins: { files } } }), "ConfigMap", "reflow-plugins").data).toEqual(
      files,
    )
    const sum = async (text: string) =>
      (await podWith({ config, plugins: { files: { "tenant.mjs": text } } })).metadata.annotations["checksum/config"]
    expect(await sum("a")).not.toBe(await sum("b"))
  })

  test("with one gateway there is no PodDisruptionBudget, which would keep its node from being drained", async () => {
    const has = async (gateway: object) =>
      kinds(await render({ values: { gateway } })).some((name) => name.startsWith("PodDis"))
    expect(await has({ replicas: 1 })).toBe(false)
    expect(await has({ replicas: 2 })).toBe(true)
    expect(await has({ replicas: 1, autoscaling: { enabled: true } })).toBe(true)
  })

  test("lead clients in by an Ingress with a certificate of cert-manager, or by an HTTPRoute", async () => {
    const certManager = { enabled: true, issuerRef: { name: "le", kind: "ClusterIssuer" } }
    const gateway = {
      ingress: { enabled: true, className: "nginx", annotations: { a: "b" } },
      httpRoute: { enabled: true, parentRefs: [{ name: "public", namespace: "gateways" }] },
      tls: { certManager },
      service: { port: 8000, type: "LoadBalancer" },
    }
    const objects = await render({ values: withUrl(gateway) })
    expect(find(objects, "Ingress")).toMatchObject({
      metadata: { annotations: { a: "b" } },
      spec: {
        ingressClassName: "nginx",
        tls: [{ hosts: ["mcp.example.com"], secretName: "reflow-gateway-tls" }],
        rules: [{ host: "mcp.example.com" }],
      },
    })
    expect(find(objects, "Certificate").spec).toEqual({
      secretName: "reflow-gateway-tls",
      dnsNames: ["mcp.example.com"],
      issuerRef: { name: "le", kind: "ClusterIssuer" },
    })
    expect(find(objects, "HTTPRoute").spec).toMatchObject({
      parentRefs: [{ name: "public", namespace: "gateways" }],
      hostnames: ["mcp.example.com"],
      rules: [{ backendRefs: [{ name: "reflow-gateway", port: 8000 }] }],
    })
    expect(find(objects, "Service").spec).toMatchObject({ type: "LoadBalancer", ports: [{ port: 8000 }] })
    const named = { ingress: { enabled: true }, tls: { secretName: "own" } }
    expect(find(await render({ values: withUrl(named) }), "Ingress").spec.tls[0].secretName).toBe("own")
  })

  test("hand the number of gateways to an autoscaler", async () => {
    const values = { gateway: { autoscaling: { enabled: true, minReplicas: 3, maxReplicas: 5 } } }
    const objects = await render({ values })
    expect(find(objects, "HorizontalPodAutoscaler").spec).toMatchObject({ minReplicas: 3, maxReplicas: 5 })
    expect(find(objects, "Deployment").spec.replicas).toBeUndefined()
  })

  test("let Prometheus find both roles", async () => {
    const objects = await render({ values: { serviceMonitor: { enabled: true, labels: { release: "prom" } } } })
    for (const role of ["operator", "gateway"]) {
      const monitor = find(objects, "ServiceMonitor", `reflow-${role}`)
      const service = find(objects, "Service", `reflow-${role}-metrics`)
      expect(service.metadata.labels).toMatchObject(monitor.spec.selector.matchLabels)
      expect(monitor.metadata.labels).toMatchObject({ release: "prom" })
      expect(monitor.spec.endpoints).toEqual([{ port: "metrics", interval: "30s" }])
      const { spec } = find(objects, "Deployment", `reflow-${role}`)
      expect(spec.template.metadata.labels).toMatchObject(service.spec.selector)
    }
  })

  test("of docs/install.md lead clients in by an Ingress with a certificate, and let a company's issuer say who they are", async () => {
    const objects = await render({ values: parse(blockOf("docs/install.md", "values")) })
    expect(find(objects, "Ingress").spec.tls).toEqual([
      { hosts: ["mcp.example.com"], secretName: find(objects, "Certificate").spec.secretName },
    ])
    const file = find(objects, "ConfigMap", "reflow").data?.["reflow.yaml"] ?? ""
    expect(checkLayer({ values: parse(file), problems: [], sourceOf: () => "" })).toEqual([])
    expect(parse(file).auth.issuers).toHaveLength(1)
  })

  test("make Ingress, autoscaler and Services that the API server accepts", async () => {
    const gateway = { ingress: { enabled: true }, autoscaling: { enabled: true } }
    const kindsOfKubernetes = ["Ingress", "HorizontalPodAutoscaler", "Service", "ConfigMap"]
    const objects = await render({
      namespace: "default",
      values: { ...withUrl(gateway), serviceMonitor: { enabled: true }, plugins: { files: { "a.mjs": "" } } },
    })
    const items = objects.filter(({ kind }) => kindsOfKubernetes.includes(kind))
    expect(items.length).toBeGreaterThanOrEqual(6)
    const input = JSON.stringify({ apiVersion: "v1", kind: "List", items })
    await kubectl(["apply", "--dry-run=server", "--validate=strict", "--warnings-as-errors", "-f", "-"], { input })
  })
})

describeChart("values that make no sense are refused, and it is said why:", () => {
  const certManager = { enabled: true, issuerRef: { name: "" } }
  test.each<readonly [string, object, string]>([
    ["a key that does not exist", { gatway: {} }, "additional properties 'gatway' not allowed"],
    ["text as a number", { gateway: { replicas: "many" } }, "at '/gateway/replicas': got string, want integer"],
    ["a negative number", { operator: { replicas: -1 } }, "at '/operator/replicas': minimum: got -1, want 0"],
    ["text as a switch", { gateway: { enabled: "yes" } }, "at '/gateway/enabled': got string, want boolean"],
    ["a port that does not exist", { gateway: { service: { port: 70_000 } } }, "at '/gateway/service/port': maximum"],
    ["a digest that is none", { image: { digest: "1.0" } }, "'1.0' does not match pattern '^sha256:"],
    ["memory in words", { gateway: { resources: { limits: { memory: "much" } } } }, "'much' does not match pattern"],
    ["a number in the environment", { gateway: { env: [{ name: "A", value: 1 }] } }, "got number, want string"],
    [
      "a key of the configuration that does not exist",
      { config: { kubernetes: { idle_tll: "1m" } } },
      "'idle_tll' not allowed",
    ],
    [
      "a duration of the configuration that is none",
      { config: { kubernetes: { idle_ttl: "soon" } } },
      "at '/config/kubernetes/idle_ttl': 'soon' does not match",
    ],
    [
      "instances beside the gateway",
      { namespaces: { instances: "reflow-system" } },
      "namespaces.instances: must be another namespace than the release's",
    ],
    [
      "a namespace in the configuration",
      { config: { kubernetes: { namespace: "a" } } },
      "config.kubernetes.namespace: set namespaces.instances instead",
    ],
    [
      "another port to listen at",
      { config: { gateway: { listen: "0.0.0.0:1" } } },
      "config.gateway.listen: the ports of the Pods are 8080 and 9090",
    ],
    [
      "an ingress without a host",
      { gateway: { ingress: { enabled: true } } },
      "gateway.ingress.enabled: clients need a public host",
    ],
    [
      "a route that nobody takes",
      withUrl({ httpRoute: { enabled: true } }),
      "gateway.httpRoute.parentRefs: name the Gateway",
    ],
    [
      "a certificate that nobody signs",
      withUrl({ tls: { certManager } }),
      "gateway.tls.certManager.issuerRef.name: name the Issuer",
    ],
    [
      "an ingress without a gateway",
      withUrl({ enabled: false, ingress: { enabled: true } }),
      "gateway.ingress.enabled: there is no gateway",
    ],
    [
      "fewer gateways at most than at least",
      { gateway: { autoscaling: { enabled: true, minReplicas: 3, maxReplicas: 2 } } },
      "minReplicas is more than maxReplicas",
    ],
    [
      "plugins from two places",
      { plugins: { files: { a: "" }, configMap: "b" } },
      "plugins: give files or configMap, not both",
    ],
    [
      "a plugin that is nowhere",
      { config: { plugins: [{ path: "/plugins/a.mjs" }] } },
      "/plugins/a.mjs is in no ConfigMap",
    ],
    [
      "a plugin that is not among the files",
      { config: { plugins: [{ path: "/plugins/a.mjs" }] }, plugins: { files: { "b.mjs": "" } } },
      "/plugins/a.mjs is not in plugins.files",
    ],
  ])("%s", async (_, values, said) => {
    const refusal = await render({ values }).then(
      () => "accepted",
      (error: Error) => error.message,
    )
    expect(refusal).toContain(said)
  })
})
