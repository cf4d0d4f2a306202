/** The plugins that come with the program, in the two roles of an installation: what they promise is seen in real Pods. */
import { randomBytes } from "node:crypto"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { type MCPInstance, mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import { type MCPTargetSpec, mcpTargetKind } from "../../src/api/kinds/mcp-target.ts"
import { podKind } from "../../src/api/kinds/pod.ts"
import type { ClusterPort } from "../../src/ports/cluster.ts"
import { type LoopbackIssuer, startLoopbackIssuer } from "../support/loopback-issuer.ts"
import { callTool, toolText } from "../support/modern.ts"
import { eventually } from "../support/processes.ts"
import { startVault, type Vault } from "../support/vault.ts"
import { cluster, kubectl, makeFolder, openCluster } from "./support/cluster.ts"
import { ensureImages, images } from "./support/images.ts"
import { type Installation, makeInstallation, type RoleProcess, startRole } from "./support/role.ts"

const audience = "plugins-test"
const apiAudience = "plugins-test-api"
/** Part of the names of what is not in a namespace. */
const suffix = randomBytes(3).toString("hex")
const runtimeClass = `reflow-test-${suffix}`
const poolLabel = `reflow-test-${suffix}/pool`

/** What each place of secrets holds; none of it may be in a log. */
const canary = {
  kubernetes: "canary-of-kubernetes",
  env: "canary-of-env",
  file: "canary-of-file",
  vault: "canary-of-vault",
} as const

let place: Installation
let admin: ClusterPort
let vault: Vault
let corp: LoopbackIssuer
let partner: LoopbackIssuer
let roles: RoleProcess[] = []
let url = ""

/** What Vault does with a token: it asks the API server whose it is. */
const review = async (jwt: string): Promise<string | undefined> => {
  const asked = { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", spec: { token: jwt } }
  const said = JSON.parse(await kubectl(["create", "-f", "-", "-o", "json"], { input: JSON.stringify(asked) })) as {
    readonly status: { readonly authenticated?: boolean; readonly user?: { readonly username: string } }
  }
  const [, account] = /^system:serviceaccount:(.*)$/.exec(said.status.user?.username ?? "") ?? []
  return said.status.authenticated === true ? account : undefined
}

/** A plugin of one's own, whose strategies know nobody. */
const nobody = `
import { definePlugin } from "reflow-gateway/plugin"
const late = async () => ""
export default definePlugin({
  api: 1,
  name: "nobody",
  setup: () => ({ subjectKeys: { nothing: () => undefined, empty: () => "", late } }),
})
`

const makeSecret = (name: string, value: string): Promise<unknown> =>
  kubectl(["create", "secret", "generic", name, "-n", place.instances, `--from-literal=token=${value}`])

/** The ServiceAccount's token as a file, as it lies in each Pod. */
const writeToken = async (folder: string): Promise<string> => {
  const path = join(folder, "token")
  await writeFile(path, await kubectl(["create", "token", "reflow-gateway", "-n", place.own, "--duration=1h"]))
  return path
}

const writePlugins = async () => {
  const folder = await makeFolder()
  const secrets = await makeFolder()
  await writeFile(join(secrets, "api-key"), `${canary.file}\n`)
  await writeFile(join(folder, "nobody.mjs"), nobody)
  const kubernetes = { role: "reflow", token_path: await writeToken(folder) }
  return [
    { name: "kubernetes", secrets: ["team"] },
    { name: "env", config: { allow: ["TEAM_TOKEN"] } },
    { name: "file", config: { folder: secrets } },
    { name: "vault", config: { address: vault.address, auth: { kubernetes } } },
    { path: join(folder, "nobody.mjs") },
  ]
}

const startRoles = async (): Promise<void> => {
  const issuers = [
    { name: "corp", issuer: corp.issuer, audiences: [audience], api_audiences: [apiAudience] },
    { name: "partner", issuer: partner.issuer, audiences: [audience] },
  ]
  const set = { plugins: JSON.stringify(await writePlugins()), "auth.issuers": JSON.stringify(issuers) }
  const start = async (role: "operator" | "gateway", env = {}) => {
    const kubeconfig = await place.kubeconfig(role)
    return startRole(role, { kubeconfig, namespace: place.instances, set, env, until: "file" })
  }
  roles = [await start("operator"), await start("gateway", { TEAM_TOKEN: canary.env })]
  const [operator, gateway] = roles
  await operator?.line("leading")
  url = String((await gateway?.line("serving"))?.url)
}

/** What the whole cluster gets for the test: a runtime that is runc by another name, and a label of its nodes. */
const changeCluster = async (): Promise<void> => {
  const runtime = {
    apiVersion: "node.k8s.io/v1",
    kind: "RuntimeClass",
    metadata: { name: runtimeClass },
    handler: "runc",
  }
  await kubectl(["create", "-f", "-"], { input: JSON.stringify(runtime) })
  await kubectl(["label", "nodes", "--all", `${poolLabel}=mcp`])
}

beforeAll(async () => {
  await ensureImages(["dual"], cluster)
  place = await makeInstallation("plugins")
  admin = openCluster("test")
  ;[vault, corp, partner] = await Promise.all([
    startVault({ review }),
    startLoopbackIssuer(audience),
    startLoopbackIssuer(audience),
  ])
  vault.role("reflow", { accounts: [`${place.own}:reflow-gateway`], ttlSeconds: 3_600, reads: ["team"] })
  vault.write("team/github", { token: canary.vault })
  await makeSecret("team", canary.kubernetes)
  await makeSecret("others", "canary-of-others")
  await changeCluster()
  await startRoles()
}, 300_000)

afterAll(async () => {
  for (const role of roles) role.process.kill("SIGTERM")
  await Promise.all(roles.map(({ ended }) => ended))
  await Promise.all([vault, corp, partner].map((each) => each?.close()))
  await kubectl(["delete", "runtimeclass", runtimeClass, "--ignore-not-found"])
  await kubectl(["label", "nodes", "--all", `${poolLabel}-`])
}, 60_000)

const resources = { requests: { cpu: "10m", memory: "16Mi" }, limits: { cpu: "500m", memory: "128Mi" } }
/** Makes a target and waits until the gateway knows it. */
const makeTarget = async (name: string, spec: Partial<MCPTargetSpec>): Promise<void> => {
  await admin.create(mcpTargetKind, {
    apiVersion: mcpTargetKind.apiVersion,
    kind: mcpTargetKind.kind,
    metadata: { name, namespace: place.instances },
    spec: {
      transportType: "kubernetes",
      image: images.dual.name,
      port: 8080,
      statefulness: "stateless",
      isolationBoundary: "shared",
      resources,
      ...spec,
    },
  })
  const headers = { authorization: `Bearer ${await corp.sign({ aud: apiAudience })}` }
  const isKnown = async () => (await fetch(`${url}/api/targets/${name}`, { headers })).status === 200
  await eventually(isKnown, 10_000, `the gateway knows the target ${name}`)
}

const instancesOf = async (target: string): Promise<readonly MCPInstance[]> =>
  (await admin.list(mcpInstanceKind, { namespace: place.instances })).items.filter(
    ({ spec }) => spec.targetName === target,
  )

/** Variables of the server that answers. */
const variables = async (target: string, token: string, names: readonly string[]): Promise<Record<string, string>> =>
  JSON.parse(await toolText(`${url}/mcp/${target}`, token, "env", { names })).values

/** Name of the Pod that answers. */
const podOf = async (target: string, token: string): Promise<string> =>
  (await variables(target, token, ["HOSTNAME"])).HOSTNAME ?? ""

describe("secrets", () => {
  const from = {
    kubernetes: "kubernetes:team/token",
    env: "env:TEAM_TOKEN",
    file: "file:api-key",
    vault: "vault:team/github#token",
  } as const

  test("from another Secret, the gateway's environment, a file and Vault reach the container, and no log and no Pod", async () => {
    const schemes = Object.keys(from) as (keyof typeof from)[]
    await makeTarget("all", { secrets: schemes.map((scheme) => ({ name: scheme.toUpperCase(), from: from[scheme] })) })
    const found = await variables("all", await corp.sign({}), ["KUBERNETES", "ENV", "FILE", "VAULT"])
    expect(found).toEqual(Object.fromEntries(schemes.map((scheme) => [scheme.toUpperCase(), canary[scheme]])))
    expect(vault.requests.map(({ method, url: path }) => `${method} ${path}`)).toEqual([
      "POST /v1/auth/kubernetes/login",
      "GET /v1/secret/data/team/github",
    ])
    const pods = await kubectl(["get", "pods,mcpt,mcpi,events", "-n", place.instances, "-o", "json"])
    for (const text of [pods, ...roles.map((role) => role.output())]) expect(text).not.toContain("canary-of-")
  })

  test.each([
    ["a Secret that the configuration does not name", "kubernetes:others/token", "secrets.kubernetes"],
    ["a variable that the configuration does not allow", "env:HOME", "secrets.env"],
    ["a file outside the folder", "file:../token", "secrets.file"],
    ["a path that Vault does not let the role read", "vault:others#token", "secrets.vault"],
  ])("are not had from %s: the caller is told which plugin and hook said no", async (_name, source, hook) => {
    const target = `no-${hook.slice(8)}`
    await makeTarget(target, { secrets: [{ name: "TOKEN", from: source }] })
    const [, plugin] = hook.split(".")
    const token = await corp.sign({})
    await expect(toolText(`${url}/mcp/${target}`, token, "env")).rejects.toThrow(
      `The hook ${hook} of the plugin ${plugin} `,
    )
    expect(await instancesOf(target)).toEqual([])
  })
})

describe("pod templates", () => {
  test("choose runtime, nodes, labels and annotations of the running Pod, which stays ours", async () => {
    await makeTarget("placed", {
      podTemplates: [
        { name: "runtime-class", config: { name: runtimeClass } },
        { name: "node-selector", config: { labels: { [poolLabel]: "mcp" } } },
        { name: "labels", config: { labels: { team: suffix }, annotations: { "example.com/cost-centre": "42" } } },
      ],
    })
    const name = await podOf("placed", await corp.sign({}))
    const [pod] = (await admin.list(podKind, { namespace: place.instances })).items.filter(
      ({ metadata }) => metadata.labels?.team === suffix,
    )
    expect(pod).toMatchObject({
      metadata: {
        name,
        annotations: { "example.com/cost-centre": "42" },
        ownerReferences: [{ kind: "MCPInstance", controller: true }],
      },
      spec: {
        runtimeClassName: runtimeClass,
        nodeSelector: { [poolLabel]: "mcp" },
        automountServiceAccountToken: false,
      },
      status: { phase: "Running" },
    })
    const [instance] = await instancesOf("placed")
    expect(pod?.metadata.labels).toMatchObject({ "mcp.reflow.io/instance": instance?.metadata.name })
  })

  test("that ask for a runtime which the cluster does not have fail their own target, with the cluster's reason", async () => {
    await makeTarget("misplaced", { podTemplates: [{ name: "runtime-class", config: { name: `no-${suffix}` } }] })
    const answer = await (await callTool(`${url}/mcp/misplaced`, await corp.sign({}), "env")).text()
    expect(answer).toContain("InstanceFailed")
    expect(answer).toContain(`no-${suffix}`)
    expect(await podOf("placed", await corp.sign({}))).not.toBe("")
  })
})

describe("subject keys", () => {
  /** Pods that answer two of one tenant, one of another, and one of an equally named tenant of another issuer. */
  const podsOf = async (target: string): Promise<readonly string[]> => {
    const tokens = await Promise.all([
      corp.sign({ sub: "alice", tenant: "acme", email: "alice@Acme.example" }),
      corp.sign({ sub: "bob", tenant: "acme", email: "bob@acme.example" }),
      corp.sign({ sub: "carol", tenant: "other", email: "carol@other.example" }),
      partner.sign({ sub: "alice", tenant: "acme", email: "alice@acme.example" }),
    ])
    return Promise.all(tokens.map((token) => podOf(target, token)))
  }
  test.each([
    ["claim", { claim: "tenant" }],
    ["template", { template: "{{email | domain}}" }],
  ])("of the strategy %s decide who shares a server, and keep issuers apart", async (strategy, config) => {
    await makeTarget(strategy, { subjectKey: { strategy, config } })
    const [alice, bob, carol, stranger] = await podsOf(strategy)
    expect(bob).toBe(alice)
    expect(new Set([alice, carol, stranger]).size).toBe(3)
    const keys = (await instancesOf(strategy)).map(({ spec }) => spec.subjectKey)
    expect(keys).toHaveLength(3)
    for (const key of keys) expect(key).toMatch(new RegExp(`^${strategy}:[a-z2-7]{26}$`))
  })

  test.each(["nothing", "empty", "late"])("that are %s deny, and nothing is made", async (strategy) => {
    await makeTarget(strategy, { subjectKey: { strategy: `nobody/${strategy}` } })
    const response = await callTool(`${url}/mcp/${strategy}`, await corp.sign({}), "env")
    expect([response.status, await response.text()]).toEqual([200, expect.stringContaining("SubjectKeyDenied")])
    expect(await instancesOf(strategy)).toEqual([])
  })

  test("of somebody without the claim are none: the answer names it", async () => {
    const response = await callTool(`${url}/mcp/claim`, await corp.sign({ sub: "dave" }), "env")
    expect([response.status, await response.text()]).toEqual([200, expect.stringContaining("claim 'tenant'")])
  })
})
