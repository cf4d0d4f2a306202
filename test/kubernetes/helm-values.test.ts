/** What the chart makes of its values. Only one test asks the cluster. */
import { expect, test } from "vitest"
import { parse } from "yaml"
import { grants, keysSecretName } from "../../src/adapters/kube/access.ts"
import { checkLayer } from "../../src/config/check.ts"
import { kubectl } from "./support/cluster.ts"
import { blockOf } from "./support/commands.ts"
import { describeChart, findObject, namesOf, render } from "./support/helm.ts"

const publicUrl = { config: { gateway: { public_url: "https://mcp.example.com:8443" } } }
const withUrl = (gateway: object) => ({ ...publicUrl, gateway })

describeChart("values", () => {
  /** The Pod of a Deployment with these values for its role. */
  const podWith = async (values: object, role = "gateway") => {
    const { spec } = findObject(await render({ values }), "Deployment", `reflow-${role}`)
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
      const account = findObject(await render({ values }), "ServiceAccount", `reflow-${each}`)
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
    expect(parse(findObject(objects, "ConfigMap", "reflow").data?.["reflow.yaml"] ?? "")).toMatchObject({
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
    expect(
      findObject(await render({ values: { config, plugins: { files } } }), "ConfigMap", "reflow-plugins").data,
    ).toEqual(files)
    const sum = async (text: string) =>
      (await podWith({ config, plugins: { files: { "tenant.mjs": text } } })).metadata.annotations["checksum/config"]
    expect(await sum("a")).not.toBe(await sum("b"))
  })

  test("with one gateway there is no PodDisruptionBudget, which would keep its node from being drained", async () => {
    const has = async (gateway: object) =>
      namesOf(await render({ values: { gateway } })).some((name) => name.startsWith("PodDis"))
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
    expect(findObject(objects, "Ingress")).toMatchObject({
      metadata: { annotations: { a: "b" } },
      spec: {
        ingressClassName: "nginx",
        tls: [{ hosts: ["mcp.example.com"], secretName: "reflow-gateway-tls" }],
        rules: [{ host: "mcp.example.com" }],
      },
    })
    expect(findObject(objects, "Certificate").spec).toEqual({
      secretName: "reflow-gateway-tls",
      dnsNames: ["mcp.example.com"],
      issuerRef: { name: "le", kind: "ClusterIssuer" },
    })
    expect(findObject(objects, "HTTPRoute").spec).toMatchObject({
      parentRefs: [{ name: "public", namespace: "gateways" }],
      hostnames: ["mcp.example.com"],
      rules: [{ backendRefs: [{ name: "reflow-gateway", port: 8000 }] }],
    })
    expect(findObject(objects, "Service").spec).toMatchObject({ type: "LoadBalancer", ports: [{ port: 8000 }] })
    const named = { ingress: { enabled: true }, tls: { secretName: "own" } }
    expect(findObject(await render({ values: withUrl(named) }), "Ingress").spec.tls[0].secretName).toBe("own")
  })

  test("hand the number of gateways to an autoscaler", async () => {
    const values = { gateway: { autoscaling: { enabled: true, minReplicas: 3, maxReplicas: 5 } } }
    const objects = await render({ values })
    expect(findObject(objects, "HorizontalPodAutoscaler").spec).toMatchObject({ minReplicas: 3, maxReplicas: 5 })
    expect(findObject(objects, "Deployment").spec.replicas).toBeUndefined()
  })

  test("leave the number of Pods to others where it is null, and is theirs where it is a number", async () => {
    const replicasOf = async (values: object) =>
      (await render({ values })).filter(({ kind }) => kind === "Deployment").map(({ spec }) => spec.replicas)
    expect(await replicasOf({ gateway: { replicas: null }, operator: { replicas: null } })).toEqual([
      undefined,
      undefined,
    ])
    expect(await replicasOf({ gateway: { replicas: 5 }, operator: { replicas: 2 } })).toEqual([2, 5])
  })

  test("choose the user of the Pods, or none", async () => {
    const contextsOf = async (values: object) =>
      (await render({ values }))
        .filter(({ kind }) => kind === "Deployment" || kind === "Pod")
        .map(({ kind, spec }) => (kind === "Pod" ? spec : spec.template.spec).securityContext)
    const own = { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } }
    expect(await contextsOf({ podSecurityContext: own })).toEqual([own, own])
    expect(await contextsOf({ podSecurityContext: {} })).toEqual([undefined, undefined])
    for (const context of await contextsOf({})) expect(context).toMatchObject({ runAsUser: 65532 })
  })

  test("give stdio servers the bridge of the release's own image, unless the configuration names another", async () => {
    const bridgeOf = async (values: object) => {
      const file = findObject(await render({ values }), "ConfigMap", "reflow").data?.["reflow.yaml"] ?? ""
      expect(checkLayer({ values: parse(file), problems: [], sourceOf: () => "" })).toEqual([])
      return parse(file).kubernetes.bridge
    }
    const image = { repository: "registry.example/reflow", tag: "9.9.9" }
    expect(await bridgeOf({ image })).toEqual({ image: "registry.example/reflow:9.9.9" })
    const secrets = { image_pull_secrets: ["registry"] }
    expect(await bridgeOf({ image, config: { kubernetes: { bridge: secrets } } })).toEqual({
      ...secrets,
      image: "registry.example/reflow:9.9.9",
    })
    const own = { bridge: { image: "other:1", delivery: "copy" } }
    expect(await bridgeOf({ image, config: { kubernetes: own } })).toEqual(own.bridge)
  })

  test("let Prometheus find both roles", async () => {
    const objects = await render({ values: { serviceMonitor: { enabled: true, labels: { release: "prom" } } } })
    for (const role of ["operator", "gateway"]) {
      const monitor = findObject(objects, "ServiceMonitor", `reflow-${role}`)
      const service = findObject(objects, "Service", `reflow-${role}-metrics`)
      expect(service.metadata.labels).toMatchObject(monitor.spec.selector.matchLabels)
      expect(monitor.metadata.labels).toMatchObject({ release: "prom" })
      expect(monitor.spec.endpoints).toEqual([{ port: "metrics", interval: "30s" }])
      const { spec } = findObject(objects, "Deployment", `reflow-${role}`)
      expect(spec.template.metadata.labels).toMatchObject(service.spec.selector)
    }
  })

  test("of docs/install.md lead clients in by an Ingress with a certificate, and let a company's issuer say who they are", async () => {
    const objects = await render({ values: parse(blockOf("docs/install.md", "values")) })
    expect(findObject(objects, "Ingress").spec.tls).toEqual([
      { hosts: ["mcp.example.com"], secretName: findObject(objects, "Certificate").spec.secretName },
    ])
    const file = findObject(objects, "ConfigMap", "reflow").data?.["reflow.yaml"] ?? ""
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
