/** Which values the chart refuses: what is wrong by itself by its schema, contradictions by itself. */
import { expect, test } from "vitest"
import { describeChart, render } from "./support/helm.ts"

const publicUrl = { config: { gateway: { public_url: "https://mcp.example.com:8443" } } }
const withUrl = (gateway: object) => ({ ...publicUrl, gateway })

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
