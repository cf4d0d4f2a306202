/** What the ServiceAccounts of rbac/ may do on a real API server, and what they may not. */
import { createHash, randomBytes } from "node:crypto"
import { beforeAll, describe, expect, test } from "vitest"
import {
  type Actor,
  bootstrapSecretName,
  type Grant,
  grants,
  keysSecretName,
  leaseName,
} from "../../src/adapters/kube/access.ts"
import type { KubeCluster } from "../../src/adapters/kube/cluster.ts"
import { actorName } from "../../src/adapters/kube/rbac.ts"
import { instanceName } from "../../src/api/names.ts"
import { hasCode } from "../../src/errors.ts"
import { initialize, post } from "../support/reflow.ts"
import { accountKubeconfig, kubectl, kubectlJson, makeNamespace, openCluster } from "./support/cluster.ts"
import { type Installation, makeInstallation, startRole } from "./support/role.ts"

let place: Installation
/** A namespace that is nobody's of ours. */
let foreign: string
/** How the API server is asked as each account, without the program's name: what is refused here was asked on purpose. */
let as: Record<Actor | "nobody", KubeCluster>

const secret = (name: string, namespace: string, data: Readonly<Record<string, string>>) => ({
  apiVersion: "v1",
  kind: "Secret",
  metadata: { name, namespace },
  stringData: data,
})

const create = (...items: readonly object[]): Promise<string> =>
  kubectl(["create", "-f", "-"], { input: JSON.stringify({ apiVersion: "v1", kind: "List", items }) })

beforeAll(async () => {
  place = await makeInstallation("rbac")
  foreign = await makeNamespace("rbac-foreign")
  const { own, instances } = place
  await create(
    secret("user-values", instances, { TOKEN: "canary" }),
    secret("somebody-elses", own, { TOKEN: "canary" }),
    secret("somebody-elses", foreign, { TOKEN: "canary" }),
    { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "nobody", namespace: own } },
  )
  const open = async (name: string) =>
    openCluster("rbac-test", { kubeconfig: await accountKubeconfig({ namespace: own, name }) })
  as = {
    operator: await open(actorName("operator")),
    gateway: await open(actorName("gateway")),
    nobody: await open("nobody"),
  }
})

type Rule = {
  readonly verbs: readonly string[]
  readonly apiGroups?: readonly string[]
  readonly resources?: readonly string[]
  readonly resourceNames?: readonly string[]
}

const ruleText = ({ verbs, apiGroups, resources, resourceNames }: Rule): string =>
  JSON.stringify([apiGroups, resources, resourceNames ?? [], [...verbs].sort()])

/** What the API server says that an account may do in a namespace, a text for each rule. */
const rulesOf = async (who: Actor | "nobody", namespace: string): Promise<readonly string[]> => {
  const answer = (await as[who].transport.json({
    method: "POST",
    path: "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
    body: { apiVersion: "authorization.k8s.io/v1", kind: "SelfSubjectRulesReview", spec: { namespace } },
    what: "create SelfSubjectRulesReview",
  })) as { status: { incomplete: boolean; resourceRules: readonly Rule[] } }
  return answer.status.resourceRules.map(ruleText)
}

const toText = ({ group, resource, names, verbs }: Grant): string =>
  ruleText({
    apiGroups: [group],
    resources: [resource],
    verbs,
    ...(names === undefined ? {} : { resourceNames: names }),
  })

describe.each<Actor>(["operator", "gateway"])("the %s", (actor) => {
  test.each(["own", "instances"] as const)(
    "may do in its namespace (%s) what the table says, and no more",
    async (where) => {
      const everybody = await rulesOf("nobody", place[where])
      const rules = (await rulesOf(actor, place[where])).filter((rule) => !everybody.includes(rule))
      const granted = grants.filter((grant) => grant.actor === actor && grant.where === where).map(toText)
      expect([...rules].sort()).toEqual([...granted].sort())
    },
  )

  test("may do nothing in another namespace", async () => {
    expect([...(await rulesOf(actor, foreign))].sort()).toEqual([...(await rulesOf("nobody", foreign))].sort())
  })
})

type Refused = { readonly actor: Actor; readonly what: string; readonly path: () => string; readonly method?: "POST" }

const core = (namespace: string, rest: string): string => `/api/v1/namespaces/${namespace}/${rest}`
const leases = (name = ""): string => `/apis/coordination.k8s.io/v1/namespaces/${place.own}/leases${name}`
const ours = (namespace: string, rest: string): string => `/apis/mcp.reflow.io/v1alpha1/namespaces/${namespace}/${rest}`

/** What nobody may do, whichever of the two roles it has. */
const both = (["operator", "gateway"] as const).flatMap((actor): Refused[] => [
  { actor, what: "list the Secrets of the instances", path: () => core(place.instances, "secrets") },
  { actor, what: "watch the Secrets of the instances", path: () => core(place.instances, "secrets?watch=true") },
  { actor, what: "list the Secrets of its own namespace", path: () => core(place.own, "secrets") },
  {
    actor,
    what: "read a Secret of its own namespace that is not its own",
    path: () => core(place.own, "secrets/somebody-elses"),
  },
  { actor, what: "read a Secret elsewhere", path: () => core(foreign, "secrets/somebody-elses") },
  { actor, what: "list instances elsewhere", path: () => ours(foreign, "mcpinstances") },
  { actor, what: "list targets elsewhere", path: () => ours(foreign, "mcptargets") },
  { actor, what: "list instances of all namespaces", path: () => "/apis/mcp.reflow.io/v1alpha1/mcpinstances" },
  { actor, what: "list Pods of all namespaces", path: () => "/api/v1/pods" },
  { actor, what: "list Pods of its own namespace", path: () => core(place.own, "pods") },
  { actor, what: "list the Leases of its own namespace", path: () => leases() },
  { actor, what: "list namespaces", path: () => "/api/v1/namespaces" },
  { actor, what: "list nodes", path: () => "/api/v1/nodes" },
  { actor, what: "make tokens", path: () => core(place.own, "serviceaccounts/nobody/token"), method: "POST" },
  {
    actor,
    what: "bind roles",
    path: () => `/apis/rbac.authorization.k8s.io/v1/namespaces/${place.own}/rolebindings`,
    method: "POST",
  },
])

test.each<Refused>([
  { actor: "operator", what: "read a Secret of an instance", path: () => core(place.instances, "secrets/user-values") },
  { actor: "operator", what: "read the session keys", path: () => core(place.own, `secrets/${keysSecretName}`) },
  {
    actor: "operator",
    what: "read the bootstrap token",
    path: () => core(place.own, `secrets/${bootstrapSecretName}`),
  },
  { actor: "operator", what: "make a Secret", path: () => core(place.instances, "secrets"), method: "POST" },
  { actor: "operator", what: "read logs", path: () => core(place.instances, "pods/any/log") },
  {
    actor: "operator",
    what: "run a command in a Pod",
    path: () => core(place.instances, "pods/any/exec?command=env"),
    method: "POST",
  },
  { actor: "gateway", what: "read the operator's Lease", path: () => leases(`/${leaseName}`) },
  { actor: "gateway", what: "make a Pod", path: () => core(place.instances, "pods"), method: "POST" },
  {
    actor: "gateway",
    what: "run a command in a Pod",
    path: () => core(place.instances, "pods/any/exec?command=env"),
    method: "POST",
  },
  { actor: "gateway", what: "make a Service", path: () => core(place.instances, "services"), method: "POST" },
  ...both,
])("the $actor may not $what", async ({ actor, path, method }) => {
  const how = method === "POST" ? ({ method, body: {} } as const) : ({ method: "GET" } as const)
  const asked = as[actor].transport.text({ path: path(), what: "try", isSecret: true, ...how })
  const error = await asked.catch((reason: unknown) => reason)
  expect(hasCode(error, "ApiForbidden") ? error.data?.status : error).toBe(403)
})

test("the gateway reads a Secret of an instance whose name it knows", async () => {
  const path = core(place.instances, "secrets/user-values")
  const answer = await as.gateway.transport.json({ method: "GET", path, what: "get", isSecret: true })
  expect(answer).toMatchObject({ data: { TOKEN: Buffer.from("canary").toString("base64") } })
})

test.each(["view", "edit", "admin"])(
  "who has the role %s of a namespace has no right on our kinds by that",
  async (name) => {
    const binding = {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "RoleBinding",
      metadata: { name: `eve-${name}`, namespace: place.instances },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name },
      subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: `eve-${name}` }],
    }
    await create(binding)
    const admin = openCluster("rbac-test")
    const may = async (verb: string, group: string, resource: string, subresource = ""): Promise<boolean> => {
      const resourceAttributes = { namespace: place.instances, verb, group, resource, subresource }
      const answer = (await admin.transport.json({
        method: "POST",
        path: "/apis/authorization.k8s.io/v1/subjectaccessreviews",
        body: {
          apiVersion: "authorization.k8s.io/v1",
          kind: "SubjectAccessReview",
          spec: { user: `eve-${name}`, resourceAttributes },
        },
        what: "create SubjectAccessReview",
      })) as { status: { allowed: boolean } }
      return answer.status.allowed
    }
    expect(await may("get", "", "pods")).toBe(true)
    for (const verb of ["get", "list", "create", "patch", "delete"]) {
      for (const resource of ["mcpinstances", "mcptargets"])
        expect(await may(verb, "mcp.reflow.io", resource)).toBe(false)
      expect(await may(verb, "mcp.reflow.io", "mcpinstances", "status")).toBe(false)
    }
  },
)

describe("with these rights the gateway", () => {
  test("rotates session keys that have become old", async () => {
    const seconds = Math.floor(Date.now() / 1_000) - 31 * 24 * 3_600
    const old = `key-${seconds}-0badf00d`
    const value = Buffer.alloc(32, 7).toString("base64")
    await create({ ...secret(keysSecretName, place.own, {}), data: { [old]: value } })
    const kubeconfig = await place.kubeconfig("gateway")
    const gateway = startRole("gateway", { kubeconfig, namespace: place.instances })
    await gateway.line("serving")
    const { data } = (await kubectlJson(["get", "secret", keysSecretName, "-n", place.own])) as { data: object }
    expect(Object.keys(data)).toHaveLength(2)
    expect(data).toHaveProperty([old], value)
    gateway.process.kill("SIGKILL")
  })

  test("tells in one Event, counted, that another sharer's instance has the name that a request needs", async () => {
    const token = randomBytes(32).toString("hex")
    const sha256 = createHash("sha256").update(token).digest("hex")
    const set = { "auth.tokens": JSON.stringify([{ name: "alice", sha256, subject: "alice" }]) }
    const kubeconfig = await place.kubeconfig("gateway")
    const gateway = startRole("gateway", { kubeconfig, namespace: place.instances, set })
    const { url } = await gateway.line("serving")
    const target = {
      apiVersion: "mcp.reflow.io/v1alpha1",
      kind: "MCPTarget",
      metadata: { name: "shared", namespace: place.instances },
    }
    await create({
      ...target,
      spec: { transportType: "kubernetes", image: "registry.invalid/x:1", port: 80, isolationBoundary: "shared" },
    })
    const { metadata } = (await kubectlJson(["get", "mcpt", "shared", "-n", place.instances])) as {
      metadata: { uid: string }
    }
    const name = instanceName("shared", metadata.uid, "shared")
    const spec = { image: "registry.invalid/x:1", port: 80, targetName: "shared", subjectKey: "user:eve" }
    await create({
      apiVersion: target.apiVersion,
      kind: "MCPInstance",
      metadata: { name, namespace: place.instances },
      spec,
    })
    for (const _turn of [1, 2]) {
      const answer = await post(`${url}/mcp/shared`, token, initialize())
      expect(await answer.text()).toContain("NameConflict")
    }
    const events = async () =>
      (await kubectlJson(["get", "events", "-n", place.instances, `--field-selector=involvedObject.name=${name}`])) as {
        items: readonly { reason: string; count: number }[]
      }
    await expect
      .poll(async () => (await events()).items, { timeout: 30_000 })
      .toMatchObject([{ reason: "NameConflict", count: 2 }])
    gateway.process.kill("SIGKILL")
  })
})
