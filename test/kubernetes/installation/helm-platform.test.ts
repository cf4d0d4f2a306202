/** A platform that has the last word: on the users of Pods, as OpenShift, and on the number of replicas. */
import { createHash, randomBytes } from "node:crypto"
import { afterAll, beforeAll, expect, test } from "vitest"
import { eventually } from "../../support/processes.ts"
import { initialize, post } from "../../support/reflow.ts"
import { cluster, kubectl, makeNamespace } from "../support/cluster.ts"
import { chart, describeChart, helm, makeRoomForChart, removeChart } from "../support/helm.ts"
import { ensureImages, images } from "../support/images.ts"
import { gatewayHost, instanceNamespace, isRolledOut, ownNamespace } from "../support/install.ts"

const release = "reflow-operator"
const policy = `reflow-test-users-${randomBytes(3).toString("hex")}`
const token = randomBytes(24).toString("base64url")
const sha256 = createHash("sha256").update(token).digest("hex")

/** As docs/install.md says for OpenShift. */
const values = {
  podSecurityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
  config: {
    gateway: { public_url: "", allowed_hosts: [] },
    auth: { tokens: [{ name: "alice", subject: "alice", sha256, for: ["mcp"] }] },
    kubernetes: { run_as_user: null },
  },
}

/** What OpenShift's constraint «restricted-v2» says of users: who names one outside the namespace's range is refused. */
const namesNoUser = [
  "!has(object.spec.securityContext) || (!has(object.spec.securityContext.runAsUser) && !has(object.spec.securityContext.fsGroup))",
  "object.spec.containers.all(c, !has(c.securityContext) || !has(c.securityContext.runAsUser))",
]
const makePolicy = async (names: readonly string[]): Promise<void> => {
  const api = { apiVersion: "admissionregistration.k8s.io/v1", metadata: { name: policy } }
  const rule = { apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE"], resources: ["pods"] }
  const validations = namesNoUser.map((expression) => ({ expression, message: "users are chosen by the platform" }))
  const matched = [{ key: "kubernetes.io/metadata.name", operator: "In", values: names }]
  const items = [
    {
      ...{ ...api, kind: "ValidatingAdmissionPolicy" },
      spec: { failurePolicy: "Fail", matchConstraints: { resourceRules: [rule] }, validations },
    },
    {
      ...{ ...api, kind: "ValidatingAdmissionPolicyBinding" },
      spec: {
        policyName: policy,
        validationActions: ["Deny"],
        matchResources: { namespaceSelector: { matchExpressions: matched } },
      },
    },
  ]
  await kubectl(["apply", "-f", "-"], { input: JSON.stringify({ apiVersion: "v1", kind: "List", items }) })
}

/** Resolves when a Pod that names its user is refused there: the API server heeds a new policy after a moment. */
const isInForce = (namespace: string): Promise<void> => {
  // as `restricted` wants it
  const profile = { seccompProfile: { type: "RuntimeDefault" }, runAsNonRoot: true, runAsUser: 65_532 }
  const securityContext = { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } }
  const spec = { securityContext: profile, containers: [{ name: "control", image: "x", securityContext }] }
  const overrides = `--overrides=${JSON.stringify({ spec })}`
  const isRefused = () =>
    kubectl(["run", "control", "--image=x", "--dry-run=server", "-n", namespace, overrides]).then(
      () => false,
      (error) => String(error).includes("users are chosen by the platform"),
    )
  return eventually(isRefused, 60_000, "Pods that name their user are refused")
}

const run = (verb: "install" | "upgrade", more: object = {}, flags: readonly string[] = []): Promise<string> =>
  helm(
    [verb, release, chart, "--namespace", ownNamespace, "--create-namespace", "--values", "-", ...flags].filter(
      (flag) => verb === "install" || flag !== "--create-namespace",
    ),
    { input: JSON.stringify({ ...values, ...more }) },
  )
const scale = (count: number) =>
  kubectl(["scale", "deployment/reflow-gateway", "-n", ownNamespace, `--replicas=${count}`])
const replicas = () =>
  kubectl(["get", "deployment/reflow-gateway", "-n", ownNamespace, "-o", "jsonpath={.spec.replicas}"])

describeChart("a platform that chooses users and numbers", () => {
  beforeAll(async () => {
    await ensureImages(["gateway", "dice"], cluster)
    await makeRoomForChart()
    const control = await makeNamespace("platform")
    await makePolicy([control, ownNamespace, instanceNamespace])
    await isInForce(control)
    await run("install")
  }, 800_000)
  afterAll(async () => {
    const kinds = "validatingadmissionpolicybinding,validatingadmissionpolicy"
    await kubectl(["delete", kinds, policy, "--ignore-not-found"])
    await removeChart(ownNamespace, instanceNamespace)
  }, 400_000)

  test("runs gateway, operator and servers, which name none", { timeout: 240_000 }, async () => {
    await isRolledOut()
    const spec = { image: images.dice.name, port: 8080 }
    const metadata = { name: "dice", namespace: instanceNamespace }
    const target = { apiVersion: "mcp.reflow.io/v1alpha1", kind: "MCPTarget", metadata, spec }
    await kubectl(["apply", "-f", "-"], { input: JSON.stringify(target) })
    const url = `http://${await gatewayHost()}/mcp/dice`
    const ask = async () => (await post(url, undefined, initialize(), { authorization: `Bearer ${token}` })).text()
    await expect.poll(ask, { timeout: 120_000 }).toContain('"serverInfo"')
  })

  test("that scaled a number of the chart's keeps it: the upgrade says so, or takes it back if told to", async () => {
    await scale(1)
    await expect(run("upgrade")).rejects.toThrow(/conflict.*\.spec\.replicas/s)
    await run("upgrade", {}, ["--force-conflicts"])
    expect(await replicas()).toBe("2")
  })

  test("that scales a number which is not the chart's is never in the way of an upgrade", {
    timeout: 240_000,
  }, async () => {
    const theirs = { gateway: { replicas: null } }
    await run("upgrade", theirs)
    await scale(3)
    await run("upgrade", { ...theirs, operator: { podAnnotations: { change: "1" } } })
    expect(await replicas()).toBe("3")
  })

  test("whose autoscaler scales is never in the way of an upgrade either", { timeout: 240_000 }, async () => {
    const auto = { gateway: { autoscaling: { enabled: true, minReplicas: 1, maxReplicas: 3 } } }
    await run("upgrade", auto)
    // by the same subresource as an autoscaler
    await scale(1)
    await run("upgrade", { ...auto, operator: { podAnnotations: { change: "2" } } })
    expect(await replicas()).toBe("1")
  })
})
