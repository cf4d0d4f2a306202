/**
 * What is given as a credential is in Secrets and nowhere else: values of every scope, accepted and refused, are set,
 * used, printed by a server at its end, changed and removed; then everything that was written meanwhile is searched.
 */
import { createHash } from "node:crypto"
import { beforeAll, describe, expect, test } from "vitest"
import { type MCPInstance, mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import { masked } from "../../src/credentials/mask.ts"
import type { Reflection } from "../../src/ports/cluster.ts"
import { type Canary, findCanaries, makeCanary } from "../support/canary.ts"
import { answerOf, callTool, toolText } from "../support/modern.ts"
import { readEntries } from "./support/audit.ts"
import { cluster, kubectl, kubectlJson, openCluster, waitFor } from "./support/cluster.ts"
import { type Followed, follow } from "./support/followed.ts"
import { ensureImages, images } from "./support/images.ts"
import { type Installation, makeInstallation, type RoleProcess, startRole } from "./support/role.ts"

const began = Date.now()

/** By label; made when it is first named. */
const made = new Map<string, Canary>()
const canary = (label: string): string => {
  const found = made.get(label) ?? makeCanary(label)
  made.set(label, found)
  return found.value
}
/** One that is put where the search must find it. */
const control = makeCanary("control", "control")

/** Prints its secret in every spelling, as a careless server does, and ends. */
const careless = `for (const text of [process.env.TOKEN, process.env.OWN])
  console.error(text, JSON.stringify(text), encodeURIComponent(text), Buffer.from(text).toString("base64"))
console.error("giving up"); process.exit(3)`

const makeToken = (label: string): string => Buffer.from(canary(label)).toString("base64url")
const tokens = { admin: makeToken("token of the admin"), alice: makeToken("token of alice") }
const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex")
const users = [
  { name: "admin", sha256: sha256(tokens.admin), subject: "root", roles: ["admin"], for: ["mcp", "api"] },
  {
    ...{ name: "alice", sha256: sha256(tokens.alice), subject: "alice" },
    ...{ roles: ["dev"], groups: ["eng"], for: ["mcp", "api"] },
  },
]

let place: Installation
let operator: RoleProcess
let gateway: RoleProcess
let url = ""
let instances: Reflection<MCPInstance>
let followed: readonly Followed[]
/** Answers of the REST API and errors of MCP endpoints, with their headers. */
const answers: string[] = []

type Sent = { readonly as?: string; readonly body?: unknown; readonly type?: string; readonly status: number }

/** A request to the REST API, whose answer is kept. */
const send = async (method: string, path: string, { as = tokens.admin, body, type, status }: Sent) => {
  const response = await fetch(`${url}/api${path}`, {
    method,
    headers: { authorization: `Bearer ${as}`, "content-type": type ?? "application/json" },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  })
  const text = await response.text()
  answers.push(`${JSON.stringify([...response.headers])} ${text}`)
  expect(response.status, `${method} ${path}: ${text}`).toBe(status)
  return text
}

const values = (target: string, scope: string, body: object, as = tokens.admin, status = 200): Promise<string> =>
  send("PUT", `/targets/${target}/env/${scope}`, { body, as, status })

const seen = async (target: string, names: readonly string[]): Promise<unknown> =>
  JSON.parse(await toolText(`${url}/mcp/${target}`, tokens.alice, "env", { names })).values

const makeTargets = async (): Promise<void> => {
  const common = { image: images.dual.name, port: 8080 }
  const declared = (...names: readonly string[]) => ({ credentials: names.map((name) => ({ name })) })
  const all = { isolation_boundary: "per_user", ...declared("DEFAULT", "ROLE", "GROUP", "TOKEN", "OWN") }
  for (const target of [
    { name: "all", ...all },
    { name: "team", isolation_boundary: "per_group", access: { groups: ["static/eng"] } },
    { name: "part", isolation_boundary: "per_role", access: { roles: ["static/dev"] } },
    { name: "common", isolation_boundary: "shared" },
    { name: "careless", ...all, command: ["/usr/local/bin/node", "-e", careless] },
    { name: "needy", ...all, credentials: [{ name: "TOKEN", required: true }] },
  ])
    await send("POST", "/targets", { body: { ...common, ...target }, status: 201 })
}

/** What is refused is no less secret. */
const setWrongly = async (): Promise<void> => {
  await values("all", "me", { UNDECLARED: canary("of an undeclared name") }, tokens.alice, 422)
  await values("all", "default", { NODE_OPTIONS: canary("of a refused name") }, tokens.admin, 422)
  await values("all", "default", { TOKEN: [canary("of a wrong type")] }, tokens.admin, 422)
  await values("all", "default", { TOKEN: canary("of too long a value").repeat(2_000) }, tokens.admin, 422)
  await values("common", "me", { TOKEN: canary("of too narrow a scope") }, tokens.alice, 422)
  await values("all", "default", { TOKEN: canary("without a right") }, tokens.alice, 403)
  await values("absent", "default", { TOKEN: canary("of no target") }, tokens.admin, 404)
  const path = "/targets/all/env/default"
  await send("PUT", path, { body: `{"TOKEN": "${canary("of broken JSON")}`, status: 400 })
  await send("PUT", path, { body: canary("as another type"), type: "text/plain", status: 415 })
  await send("PUT", `${path}?TOKEN=${encodeURIComponent(canary("in a query"))}`, { body: {}, status: 400 })
  await send("GET", "/whoami", { as: makeToken("of a token that is none"), status: 401 })
  const credentials = { TOKEN: canary("in a target") }
  await send("PATCH", "/targets/all", { body: { credentials }, type: "application/merge-patch+json", status: 422 })
}
const setRightly = async (): Promise<void> => {
  const everywhere = { DEFAULT: canary("default"), ROLE: "weaker", GROUP: "weaker", TOKEN: "weaker", OWN: "weaker" }
  await values("all", "default", everywhere)
  await values("all", "role/static/dev", { ROLE: canary("role") })
  await values("all", "group/static/eng", { GROUP: canary("group") })
  await values("all", "user/static/alice", { TOKEN: canary("user, replaced") })
  await values("all", "me", { TOKEN: canary("user"), OWN: canary("own") }, tokens.alice)
  await values("team", "group/static/eng", { TOKEN: canary("team") })
  await values("part", "role/static/dev", { TOKEN: canary("part") })
  await values("common", "default", { TOKEN: canary("common") })
  await values("careless", "default", { TOKEN: canary("printed") })
  await values("careless", "me", { OWN: canary("printed, own") }, tokens.alice)
}

/** The servers have what was set, and the one that prints it fails. */
const use = async (): Promise<void> => {
  const [one, team, part, common, failed] = await Promise.all([
    seen("all", ["DEFAULT", "ROLE", "GROUP", "TOKEN", "OWN"]),
    seen("team", ["TOKEN"]),
    seen("part", ["TOKEN"]),
    seen("common", ["TOKEN"]),
    callTool(`${url}/mcp/careless`, tokens.alice, "pid").then(answerOf),
  ])
  expect(one).toEqual({
    ...{ DEFAULT: canary("default"), ROLE: canary("role"), GROUP: canary("group") },
    ...{ TOKEN: canary("user"), OWN: canary("own") },
  })
  expect([team, part, common]).toEqual(["team", "part", "common"].map((label) => ({ TOKEN: canary(label) })))
  expect(failed.error.data).toMatchObject({ code: "InstanceFailed", reason: "CrashLoop" })
  answers.push(JSON.stringify(failed))
  const needy = await answerOf(await callTool(`${url}/mcp/needy`, tokens.alice, "pid"))
  expect(needy.error.data).toMatchObject({ code: "CredentialMissing", names: ["TOKEN"] })
  answers.push(JSON.stringify(needy))
  const message = canary("argument of a tool")
  expect(await toolText(`${url}/mcp/all`, tokens.alice, "echo", { message })).toContain(message)
}

/** Every call that reads. */
const readAll = async (): Promise<void> => {
  const crashed = [...instances.items()].find(({ spec }) => spec.targetName === "careless")?.metadata.name
  for (const path of ["/targets", "/targets/all", "/instances", "/targets/all/instances", "/openapi.json"])
    await send("GET", path, { status: 200 })
  for (const scope of ["default", "role/static/dev", "group/static/eng", "user/static/alice"])
    await send("GET", `/targets/all/env/${scope}`, { status: 200 })
  for (const path of ["/whoami", "/targets/all/env/me", `/instances/${crashed}`])
    await send("GET", path, { as: tokens.alice, status: 200 })
  const log = await send("GET", `/instances/${crashed}/logs`, { as: tokens.alice, status: 200 })
  expect(log).toContain(masked)
  expect(log).toContain("giving up")
  const tried = JSON.parse(await send("POST", "/targets/careless/test", { as: tokens.alice, body: {}, status: 200 }))
  expect(tried).toMatchObject({ ok: false, error: { reason: "CrashLoop" } })
  expect(JSON.parse(await send("POST", "/targets/all/test", { as: tokens.alice, body: {}, status: 200 })).ok).toBe(true)
}

/** One value is changed and one removed, while the server that had them runs. */
const change = async (): Promise<void> => {
  await values("all", "me", { OWN: canary("own, changed") }, tokens.alice)
  expect(await seen("all", ["TOKEN", "OWN"])).toEqual({ TOKEN: "weaker", OWN: canary("own, changed") })
  await send("DELETE", "/targets/common/env/default", { status: 200 })
  expect(await seen("common", ["TOKEN"])).toEqual({ TOKEN: null })
}

beforeAll(async () => {
  await ensureImages(["dual"], cluster)
  place = await makeInstallation("leaks")
  const namespace = place.instances
  followed = ["pods", "events", "mcpinstances", "mcptargets"].map((plural) => follow(plural, namespace))
  instances = openCluster("test").watch(mcpInstanceKind, { namespace })
  const start = async (role: "operator" | "gateway") => {
    const set = { "log.level": "debug", "auth.tokens": JSON.stringify(users) }
    return startRole(role, { kubeconfig: await place.kubeconfig(role), namespace, set, until: "file" })
  }
  operator = await start("operator")
  gateway = await start("gateway")
  url = String((await gateway.line("serving")).url)
  await operator.line("leading")
  await makeTargets()
  await setWrongly()
  await setRightly()
  await use()
  await readAll()
  await change()
  const hidden = Buffer.from(`as base64: ${control.value}`).toString("base64")
  await kubectl(["annotate", "mcpt", "all", `example.com/control=${hidden}`, "-n", namespace])
  const failing = (all: Reflection<MCPInstance>) => [...all.items()].find(({ status }) => (status?.restarts ?? 0) > 1)
  await waitFor(instances, failing, 60_000, "the careless server has been started and ended again")
}, 600_000)

/** Everything that is now in a namespace, but Secrets. */
const objectsIn = async (namespace: string): Promise<string> => {
  const kinds = (await kubectl(["api-resources", "--verbs=list", "--namespaced", "-o", "name"])).trim().split("\n")
  const list = kinds.filter((kind) => kind !== "secrets").join(",")
  return await kubectl(["get", list, "-n", namespace, "--show-managed-fields", "-o", "yaml"])
}

const audited = async (): Promise<string> => {
  const holding = [...made.values(), control].flatMap(({ needles }) => needles)
  const entries = await readEntries(cluster.auditLog ?? "", { from: began, holding })
  return JSON.stringify(entries)
}

test.each([
  ["as it is", (value: string) => value],
  ["in JSON", JSON.stringify],
  ["URL-encoded", encodeURIComponent],
  ["in base64", btoa],
  ["in base64, behind one more byte", (value: string) => btoa(`:${value}`)],
  ["in base64, behind two more bytes", (value: string) => btoa(`a:${value}`)],
  ["in URL-safe base64", (value: string) => Buffer.from(value).toString("base64url")],
  ["in hex digits", (value: string) => Buffer.from(value).toString("hex")],
])("the search finds a value %s", (_, spell) => {
  expect(findCanaries(`before ${spell(control.value)} after`, [control, makeCanary("another")])).toEqual(["control"])
})

test("values that were set are in Secrets of the instances' namespace, and tokens in none", async () => {
  type Data = { readonly items: readonly { readonly data?: Readonly<Record<string, string>> }[] }
  const stored = async (namespace: string): Promise<string> => {
    const { items } = (await kubectlJson(["get", "secrets", "-n", namespace])) as Data
    return items.flatMap(({ data = {} }) => Object.values(data).map(atob)).join("\n")
  }
  const inSecrets = async () => findCanaries(await stored(place.instances), [...made.values()]).toSorted()
  const current = ["default", "role", "group", "own, changed", "team", "part", "printed", "printed, own"]
  // the Secret of an instance that has gone follows it
  await expect.poll(inSecrets, { timeout: 30_000 }).toEqual(current.toSorted())
  expect(findCanaries(await stored(place.own), [...made.values()])).toEqual([])
})

describe("no value and no token is in", () => {
  const nothing = (text: string): void => expect(findCanaries(text, [...made.values()])).toEqual([])

  test("a log of either role, at its most talkative", async () => {
    await expect.poll(() => gateway.output()).toContain("CredentialMissing")
    for (const role of [operator, gateway]) nothing(role.output())
    expect(operator.lines.some(({ level }) => level === "debug")).toBe(true)
  })

  test("a metric of either role", async () => {
    for (const role of [operator, gateway]) {
      const { text } = await role.probe("/metrics")
      expect(text).toContain("reflow_")
      nothing(text)
    }
  })

  test("an answer of the REST API, nor in an error of an MCP endpoint", () => {
    expect(answers.length).toBeGreaterThan(40)
    expect(answers.join()).toContain(masked)
    nothing(answers.join("\n"))
  })

  test("an object of the two namespaces but Secrets, Events among them", async () => {
    for (const namespace of [place.own, place.instances]) nothing(await objectsIn(namespace))
    const objects = await objectsIn(place.instances)
    const kinds = new Set([...objects.matchAll(/^ {2}kind: (\w+)$/gm)].map(([, kind]) => kind))
    for (const kind of ["Event", "MCPInstance", "MCPTarget", "Pod", "Service"]) expect(kinds).toContain(kind)
    expect(findCanaries(objects, [control])).toEqual(["control"])
  })

  test("any state that Pods, Events, instances and targets went through, the kubelet's words at a server's end among them", () => {
    for (const { text } of followed) nothing(text())
    const all = followed.map(({ text }) => text()).join("\n")
    for (const seen of [/"terminated":\{[^}]*"exitCode":3/, /"reason":"CrashLoop"/])
      expect(seen.test(all), String(seen)).toBe(true)
    expect(findCanaries(all, [control])).toEqual(["control"])
  })

  test.skipIf(cluster.auditLog === undefined)("a line of the API server's audit log", async () => {
    const lines = await audited()
    expect(findCanaries(lines, [control]), "bodies of our kinds are in it").toEqual(["control"])
    nothing(lines)
  })
})
