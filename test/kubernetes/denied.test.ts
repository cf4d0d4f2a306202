/**
 * A ValidatingAdmissionPolicy that denies what is made here. Without a reason of its own it answers 422, as for a malformed
 * object: told as what it is all the same, of a Pod in its words, of a Secret without them.
 */
import { afterAll, beforeAll, expect, test } from "vitest"
import { findCondition } from "../../src/api/kinds/kind.ts"
import { mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import { eventually } from "../support/processes.ts"
import { initialize, post } from "../support/reflow.ts"
import { kubectl, openCluster } from "./support/cluster.ts"
import { type Installation, makeInstallation, type RoleProcess, readBootstrapToken, startRole } from "./support/role.ts"

let place: Installation
let namespace = ""
let url = ""
let token = ""
let gateway: RoleProcess
const policies: string[] = []

const apply = (items: readonly object[]) =>
  kubectl(["apply", "-f", "-"], { input: JSON.stringify({ apiVersion: "v1", kind: "List", items }) })

/** Denies every object of a resource in this namespace, with these words. */
const deny = async (resource: string, message: string): Promise<string> => {
  const [group, name] = ["admissionregistration.k8s.io/v1", `${namespace}-${resource}`]
  const rule = { apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE"], resources: [resource] }
  const namespaceSelector = { matchLabels: { "kubernetes.io/metadata.name": namespace } }
  policies.push(name)
  await apply([
    {
      apiVersion: group,
      kind: "ValidatingAdmissionPolicy",
      metadata: { name },
      spec: {
        failurePolicy: "Fail",
        matchConstraints: { resourceRules: [rule] },
        validations: [{ expression: "false", message }],
      },
    },
    {
      apiVersion: group,
      kind: "ValidatingAdmissionPolicyBinding",
      metadata: { name },
      spec: { policyName: name, validationActions: ["Deny"], matchResources: { namespaceSelector } },
    },
  ])
  const probe = { apiVersion: "v1", kind: "Secret", metadata: { name: "probe", namespace } }
  // Pod Security would be asked first
  const securityContext = {
    ...{ allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
    ...{ runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
  }
  const pod = { ...probe, kind: "Pod", spec: { containers: [{ name: "a", image: "b", securityContext }] } }
  const tried = ["create", "--dry-run=server", "-f", "-"]
  const input = JSON.stringify(resource === "pods" ? pod : probe)
  await eventually(
    () =>
      kubectl(tried, { input }).then(
        () => false,
        (error) => String(error).includes("ValidatingAdmissionPolicy"),
      ),
    60_000,
    "the policy is in force",
  )
  return name
}

beforeAll(async () => {
  place = await makeInstallation("denied")
  namespace = place.instances
  const start = async (role: "operator" | "gateway") =>
    startRole(role, { kubeconfig: await place.kubeconfig(role), namespace, until: "file" })
  await (await start("operator")).line("leading")
  gateway = await start("gateway")
  url = String((await gateway.line("serving")).url)
  token = await readBootstrapToken(place)
})
afterAll(async () => {
  for (const name of policies)
    await kubectl(["delete", "validatingadmissionpolicy,validatingadmissionpolicybinding", name, "--ignore-not-found"])
})

test("a Pod that a policy denies is PodForbidden, in the policy's words", async () => {
  const policy = await deny("pods", "only on Tuesdays")
  const metadata = { name: "denied", namespace }
  const spec = { image: "registry.invalid/nothing:1", port: 8080, targetName: "files", subjectKey: "user:a" }
  await apply([{ apiVersion: "mcp.reflow.io/v1alpha1", kind: "MCPInstance", metadata, spec }])
  const cluster = openCluster("test")
  const ready = async () => {
    const instance = await cluster.get(mcpInstanceKind, { namespace, name: "denied" })
    return findCondition(instance?.status?.conditions, "Ready")
  }
  await eventually(async () => (await ready())?.reason === "PodForbidden", 20_000, "it is told")
  const { message = "" } = (await ready()) ?? {}
  expect(message).toContain("only on Tuesdays")
  expect(message).toContain(policy)
}, 120_000)

test("a Secret that a policy denies is told without its words, which may quote a value; the log names the policy", async () => {
  const policy = await deny("secrets", "canary-words")
  const spec = { image: "registry.invalid/nothing:1", port: 8080 }
  const metadata = { name: "files", namespace }
  await apply([{ apiVersion: "mcp.reflow.io/v1alpha1", kind: "MCPTarget", metadata, spec }])
  let answer = await post(`${url}/mcp/files`, token, initialize())
  await eventually(
    async () => {
      answer = await post(`${url}/mcp/files`, token, initialize())
      return answer.status !== 404
    },
    20_000,
    "the target is known",
  )
  const text = await answer.text()
  expect(JSON.parse(text)).toMatchObject({ error: { data: { code: "InstanceFailed", reason: "CreateRefused" } } })
  expect(text).not.toContain(policy)
  await expect
    .poll(() => gateway.lines.find(({ request_id }) => request_id === answer.headers.get("x-request-id")))
    .toMatchObject({ code: "InstanceFailed", cause: expect.stringContaining(`'${policy}'`) })
  expect(gateway.output()).not.toContain("canary-words")
}, 120_000)
