/** What a real API server and kubelet make of Pods: which fields there are, what $(NAME) becomes, and what they tell of it. */
import { createHash, randomBytes } from "node:crypto"
import { beforeAll, describe, expect, test } from "vitest"
import { type MCPInstance, mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import { type Pod, podKind } from "../../src/api/kinds/pod.ts"
import type { FieldRules } from "../../src/operator/desired/field-rule.ts"
import { podSpecFields } from "../../src/operator/desired/pod-fields.ts"
import type { Reflection } from "../../src/ports/cluster.ts"
import { answerOf, callTool, toolText } from "../support/modern.ts"
import { cluster, kubectl, kubectlJson, openCluster, waitFor } from "./support/cluster.ts"
import { ensureImages, images } from "./support/images.ts"
import { type Installation, makeInstallation, type RoleProcess, startRole } from "./support/role.ts"

/** What the API server says of a kind, as far as we look at it. */
type Schema = {
  readonly $ref?: string
  readonly allOf?: readonly Schema[]
  readonly items?: Schema
  readonly properties?: Readonly<Record<string, Schema>>
}
type Schemas = Readonly<Record<string, Schema>>

const refOf = (schema: Schema | undefined): string =>
  (schema?.$ref ?? schema?.allOf?.[0]?.$ref ?? (schema?.items === undefined ? "" : refOf(schema.items)))
    .split("/")
    .at(-1) ?? ""

/** Fields that the API server knows and the table does not. */
const undecided = (schemas: Schemas, name: string, fields: FieldRules, at: string): readonly string[] =>
  Object.entries(schemas[name]?.properties ?? {}).flatMap(([field, schema]) => {
    const rule = fields[field]
    const path = `${at}.${field}`
    if (rule === undefined) return [path]
    return rule.parts === undefined ? [] : undecided(schemas, refOf(schema), rule.parts.fields, path)
  })

test("every field of a Pod that this API server knows is decided", async () => {
  const document = await kubectl(["get", "--raw", "/openapi/v3/api/v1"])
  const { components } = JSON.parse(document) as { readonly components: { readonly schemas: Schemas } }
  const name = "io.k8s.api.core.v1.PodSpec"
  expect(Object.keys(components.schemas[name]?.properties ?? {}).length).toBeGreaterThan(35)
  expect(undecided(components.schemas, name, podSpecFields, "spec")).toEqual([])
  const { containers: _, ...fewer } = podSpecFields
  expect(undecided(components.schemas, name, fewer, "spec"), "the search finds one").toEqual(["spec.containers"])
})

const token = randomBytes(24).toString("base64url")
const sha256 = createHash("sha256").update(token).digest("hex")
const users = [{ name: "admin", sha256, subject: "root", roles: ["admin"], for: ["mcp", "api"] }]
/** Values that are nowhere else in the world. */
const secrets = { program: `p${randomBytes(12).toString("hex")}`, word: `w${randomBytes(12).toString("hex")}` }

let place: Installation
let roles: readonly RoleProcess[]
let url = ""
let instances: Reflection<MCPInstance>
let pods: Reflection<Pod>
/** Answers of the REST API and errors of MCP endpoints. */
const answers: string[] = []

const send = async (method: string, path: string, status: number, body?: unknown): Promise<void> => {
  const response = await fetch(`${url}/api${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  answers.push(text)
  expect(response.status, `${method} ${path}: ${text}`).toBe(status)
}

const makeTarget = async (name: string, spec: object, value: string): Promise<void> => {
  const common = { image: images.dual.name, port: 8080, credentials: [{ name: "TOKEN" }] }
  await send("POST", "/targets", 201, { ...common, name, ...spec })
  await send("PUT", `/targets/${name}/env/default`, 200, { TOKEN: value })
}

beforeAll(async () => {
  await ensureImages(["dual"], cluster)
  place = await makeInstallation("pods")
  const namespace = place.instances
  instances = openCluster("test").watch(mcpInstanceKind, { namespace })
  pods = openCluster("test").watch(podKind, { namespace })
  const start = async (role: "operator" | "gateway") => {
    const set = { "log.level": "debug", "auth.tokens": JSON.stringify(users) }
    return startRole(role, { kubeconfig: await place.kubeconfig(role), namespace, set, until: "file" })
  }
  const [operator, gateway] = [await start("operator"), await start("gateway")]
  roles = [operator, gateway]
  url = String((await gateway.line("serving")).url)
  await operator.line("leading")
}, 300_000)

test("a credential reaches the server's command line and environment by $(TOKEN) as it is", async () => {
  const env = [
    { name: "X", value: "expanded" },
    { name: "URL", value: "http://$(TOKEN)@$(X):$(PORT)/$(LATER)" },
    { name: "LATER", value: "1" },
  ]
  await makeTarget("words", { env, args: ["--token=$(TOKEN)", "$$(TOKEN)", "$(PORT)", "$(ABSENT)"] }, "$(X)$$")
  const said = await toolText(`${url}/mcp/words`, token, "env", { names: ["TOKEN", "URL"] })
  expect(JSON.parse(said)).toMatchObject({
    values: { TOKEN: "$(X)$$", URL: "http://$(X)$$@expanded:8080/$(LATER)" },
    args: ["--token=$(X)$$", "$(TOKEN)", "8080", "$(ABSENT)"],
  })
})

/** A program that writes its secret where the kubelet looks for a container's last words, and ends. */
const last = `require("node:fs").writeFileSync("/dev/termination-log", process.env.TOKEN); process.exit(3)`

describe("what a Pod's status tells of a secret goes no further:", () => {
  test.each([
    ["the program that was not found", "program", { command: ["$(TOKEN)"] }, "RunContainerError"],
    ["what the server wrote at its end", "word", { command: ["/usr/local/bin/node", "-e", last] }, "CrashLoop"],
  ] as const)("%s", async (_, name, spec, reason) => {
    const secret = secrets[name]
    await makeTarget(name, spec, secret)
    const failed = await answerOf(await callTool(`${url}/mcp/${name}`, token, "pid"))
    expect(failed.error.data).toMatchObject({ code: "InstanceFailed", reason })
    answers.push(JSON.stringify(failed))
    const inPod = (all: Reflection<Pod>) => [...all.items()].find((pod) => JSON.stringify(pod.status).includes(secret))
    await waitFor(pods, inPod, 30_000, "the Pod's status has the secret")
    await send("GET", "/instances", 200)
    await send("GET", `/targets/${name}`, 200)
    await send("POST", `/targets/${name}/test`, 200, {})
    expect(JSON.stringify([...instances.items()].map(({ status }) => status))).toContain(reason)
    expect(JSON.stringify([...instances.items()])).not.toContain(secret)
    expect(answers.join()).not.toContain(secret)
    for (const role of roles) {
      expect(role.output()).not.toContain(secret)
      expect((await role.probe("/metrics")).text).not.toContain(secret)
    }
    const objects = ["mcpinstances,mcptargets,services", "-n", place.instances]
    expect(await kubectl(["get", ...objects, "-o", "json", "--show-managed-fields"])).not.toContain(secret)
    type Events = { readonly items: readonly { readonly involvedObject: { readonly kind: string } }[] }
    const { items } = (await kubectlJson(["get", "events", "-n", place.instances])) as Events
    const ours = items.filter(({ involvedObject: { kind } }) => kind !== "Pod")
    expect(ours.length).toBeGreaterThan(0)
    expect(JSON.stringify(ours)).not.toContain(secret)
  })
})

test("an environment that doubles with each variable is refused before the kubelet sees it", async () => {
  const env = Array.from({ length: 100 }, (_, at) => ({
    name: `V${at}`,
    value: at === 0 ? "xx" : `$(V${at - 1})`.repeat(2),
  }))
  await makeTarget("doubling", { env }, "x")
  const { error } = await answerOf(await callTool(`${url}/mcp/doubling`, token, "pid"))
  expect(error.data).toMatchObject({ code: "InstanceFailed", reason: "InvalidSpec" })
  expect([...pods.items()].filter(({ metadata }) => metadata.name.startsWith("doubling"))).toEqual([])
})
