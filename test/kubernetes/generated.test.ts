/** What the API server makes of crd/, rbac/ and manager/: refusals that people understand, kubectl's views, applying twice. */
import { globSync, readFileSync } from "node:fs"
import { mkdir, writeFile } from "node:fs/promises"
import { dirname, join, resolve } from "node:path"
import { beforeAll, describe, expect, test } from "vitest"
import { parseAllDocuments } from "yaml"
import { namespaces } from "../../src/generate.ts"
import { kubectl, kubectlJson, makeFolder, makeNamespace } from "./support/cluster.ts"

const root = resolve(import.meta.dirname, "../..")
let namespace = ""
beforeAll(async () => {
  namespace = await makeNamespace("generated")
})

type Fields = Readonly<Record<string, unknown>>

const object = (kind: "MCPInstance" | "MCPTarget", name: string, spec: Fields): string => {
  const own = kind === "MCPInstance" ? { targetName: "github", subjectKey: "user:abc123" } : {}
  return JSON.stringify({
    apiVersion: "mcp.reflow.io/v1alpha1",
    kind,
    metadata: { name, namespace },
    spec: { image: "ghcr.io/org/mcp-github:latest", port: 8080, ...own, ...spec },
  })
}

/** What kubectl says of a refused object; «accepted» if it is not. Nothing is stored. */
const refusal = (kind: "MCPInstance" | "MCPTarget", spec: Fields, name = "github"): Promise<string> =>
  kubectl(["create", "--dry-run=server", "-f", "-"], { input: object(kind, name, spec) }).then(
    () => "accepted",
    (error: Error) => error.message,
  )

const duration = "must be a duration such as 30s, 10m or 1h30m"
const variable = "must be letters, digits and '_', not beginning with a digit"
const urlPath = "must begin with '/' and have no spaces, '?' or '#'"
const variables = Array.from({ length: 101 }, (_, index) => ({ name: `V${index}`, value: "x" }))
const names = variables.map(({ name }) => name)
const resources = Object.fromEntries(Array.from({ length: 17 }, (_, index) => [`example.com/r${index}`, 1]))

type Row = readonly [what: string, spec: Fields, message: string]

const alike: readonly Row[] = [
  ["no image", { image: undefined }, "spec.image: Required value"],
  ["an empty image", { image: "" }, "spec.image in body should be at least 1 chars long"],
  ["an image of 1025 characters", { image: "x".repeat(1025) }, "spec.image: Too long: may not be more than 1024"],
  ["no port", { port: undefined }, "spec.port: Required value"],
  ["port 0", { port: 0 }, "spec.port in body should be greater than or equal to 1"],
  ["port 65536", { port: 65_536 }, "spec.port in body should be less than or equal to 65535"],
  ["half a port", { port: 80.5 }, 'spec.port in body must be of type integer: "number"'],
  ["a path without slash", { path: "mcp" }, `spec.path: Invalid value: "mcp": ${urlPath}`],
  ["a health path with a query", { healthPath: "/up?x=1" }, `spec.healthPath: Invalid value: "/up?x=1": ${urlPath}`],
  [
    "an unknown pull policy",
    { imagePullPolicy: "Sometimes" },
    'spec.imagePullPolicy: Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never"',
  ],
  ["101 variables", { env: variables }, "spec.env: Too many: 101: must have at most 100 items"],
  [
    "a variable with a bad name",
    { env: [{ name: "1A", value: "" }] },
    `spec.env[0].name: Invalid value: "1A": ${variable}`,
  ],
  ["a variable without a value", { env: [{ name: "A" }] }, "spec.env[0].value: Required value"],
  ["101 arguments", { args: Array(101).fill("x") }, "spec.args: Too many: 101: must have at most 100 items"],
  ["cpu: banana", { resources: { limits: { cpu: "banana" } } }, 'spec.resources.limits.cpu: Invalid value: "banana"'],
  [
    "memory: 1 Gi",
    { resources: { requests: { memory: "1 Gi" } } },
    'spec.resources.requests.memory: Invalid value: "1 Gi"',
  ],
  ["17 limits", { resources: { limits: resources } }, "must have at most 16 entries"],
  ["17 requests", { resources: { requests: resources } }, "must have at most 16 entries"],
  [
    "101 pull secrets",
    { imagePullSecrets: names },
    "spec.imagePullSecrets: Too many: 101: must have at most 100 items",
  ],
  [
    "101 templates",
    { podTemplates: names.map((name) => ({ name })) },
    "spec.podTemplates: Too many: 101: must have at most 100 items",
  ],
  ["a negative user id", { security: { runAsUser: -1 } }, "runAsUser in body should be greater than or equal to 0"],
  ["idleTTL: 0s", { idleTTL: "0s" }, 'spec.idleTTL: Invalid value: "0s": must be at least 10s'],
  ["a negative idleTTL", { idleTTL: "-30m" }, `spec.idleTTL: Invalid value: "-30m": ${duration}`],
  ["idleTTL in days", { idleTTL: "1d" }, `spec.idleTTL: Invalid value: "1d": ${duration}`],
  ["maxLifetime: 9.9s", { maxLifetime: "9.9s" }, 'spec.maxLifetime: Invalid value: "9.9s": must be at least 10s'],
  ["startTimeout: soon", { startTimeout: "soon" }, `spec.startTimeout: Invalid value: "soon": ${duration}`],
  ["a duration that is a number", { idleTTL: 60 }, 'spec.idleTTL in body must be of type string: "integer"'],
  ["a template without a name", { podTemplates: [{ config: {} }] }, "spec.podTemplates[0].name: Required value"],
  ["no spec", { spec: undefined, image: undefined, port: undefined }, "Required value"],
]

const ofInstance: readonly Row[] = [
  ["no target", { targetName: undefined }, "spec.targetName: Required value"],
  [
    "a target that cannot exist",
    { targetName: "Git_Hub" },
    "must be at most 40 characters of a-z, 0-9 and '-', beginning with a letter",
  ],
  ["no subject key", { subjectKey: undefined }, "spec.subjectKey: Required value"],
  ["an empty subject key", { subjectKey: "" }, "spec.subjectKey in body should be at least 1 chars long"],
  [
    "a subject key of 254 characters",
    { subjectKey: "k".repeat(254) },
    "spec.subjectKey: Too long: may not be more than 253",
  ],
]

const ofTarget: readonly Row[] = [
  ["an unknown transport", { transportType: "stdio" }, 'spec.transportType: Unsupported value: "stdio"'],
  [
    "an unknown boundary",
    { isolationBoundary: "per_planet" },
    'Unsupported value: "per_planet": supported values: "shared", "per_role", "per_group", "per_user"',
  ],
  ["an unknown statefulness", { statefulness: "sometimes" }, 'supported values: "stateful", "stateless"'],
  ["requestTimeout: 9s", { requestTimeout: "9s" }, 'spec.requestTimeout: Invalid value: "9s": must be at least 10s'],
  ["streamTTL: 0s", { streamTTL: "0s" }, 'spec.streamTTL: Invalid value: "0s": must be at least 10s'],
  ["maxInstances: -1", { maxInstances: -1 }, "spec.maxInstances in body should be greater than or equal to 0"],
  ["a credential with a bad name", { credentials: [{ name: "a-b" }] }, `Invalid value: "a-b": ${variable}`],
  [
    "a secret without a scheme",
    { secrets: [{ name: "A", from: "vault" }] },
    "must be scheme:reference, e.g. vault:team/key",
  ],
  ["a secret with a bad name", { secrets: [{ name: "a-b", from: "vault:x" }] }, `Invalid value: "a-b": ${variable}`],
  ["101 users", { access: { users: Array(101).fill("ann") } }, "spec.access.users: Too many: 101"],
  ["101 credentials", { credentials: names.map((name) => ({ name })) }, "spec.credentials: Too many: 101"],
  ["101 secrets", { secrets: names.map((name) => ({ name, from: "vault:x" })) }, "spec.secrets: Too many: 101"],
  ["101 tools allowed", { tools: { allow: names } }, "spec.tools.allow: Too many: 101"],
  ["101 tools denied", { tools: { deny: names } }, "spec.tools.deny: Too many: 101"],
  ["101 scopes", { requiredScopes: names }, "spec.requiredScopes: Too many: 101"],
]

describe("an object that makes no sense is refused by the API server itself, in words", () => {
  test.each([...alike, ...ofInstance])("an instance with %s", async (_, spec, message) => {
    expect(await refusal("MCPInstance", spec)).toContain(message)
  })
  test.each([...alike, ...ofTarget])("a target with %s", async (_, spec, message) => {
    expect(await refusal("MCPTarget", spec)).toContain(message)
  })
  test.each(["x".repeat(58), "1a", "a.b"])("an instance named %s", async (name) => {
    expect(await refusal("MCPInstance", {}, name)).toContain(
      "metadata.name must be at most 57 characters of a-z, 0-9 and '-', beginning with a letter: the Service has the same name",
    )
  })
  test.each(["x".repeat(41), "1a", "a.b"])("a target named %s", async (name) => {
    expect(await refusal("MCPTarget", {}, name)).toContain(
      "metadata.name must be at most 40 characters of a-z, 0-9 and '-', beginning with a letter",
    )
  })
  test("a field that does not exist", async () => {
    expect(await refusal("MCPTarget", { imgae: "x" })).toContain('unknown field "spec.imgae"')
  })
})

test.each<readonly [string, Fields]>([
  ["whole numbers and texts as quantities", { resources: { limits: { cpu: 1, memory: "1Gi" } } }],
  ["the shortest duration", { idleTTL: "10s", maxLifetime: "0.5h", startTimeout: "1m30s" }],
  ["100 variables", { env: variables.slice(1) }],
  [
    "100 pull secrets and templates",
    { imagePullSecrets: names.slice(1), podTemplates: names.slice(1).map((name) => ({ name })) },
  ],
  ["any configuration for a pod template", { podTemplates: [{ name: "gpu", config: { a: { b: [1] } } }] }],
])("%s are accepted in both kinds", async (_, spec) => {
  expect(await refusal("MCPInstance", spec)).toBe("accepted")
  expect(await refusal("MCPTarget", spec)).toBe("accepted")
})

describe("what must not change", () => {
  const change = (resource: string, name: string, spec: Fields): Promise<string> =>
    kubectl(["patch", resource, name, "-n", namespace, "--type=merge", "-p", JSON.stringify({ spec })]).then(
      () => "accepted",
      (error: Error) => error.message,
    )

  beforeAll(async () => {
    const fixed = object("MCPInstance", "fixed", { targetUID: "u1" })
    const free = object("MCPInstance", "free", {})
    const target = object("MCPTarget", "fixed", { isolationBoundary: "shared" })
    for (const input of [fixed, free, target]) await kubectl(["create", "-f", "-"], { input })
  })

  test.each<readonly [string, Fields, string]>([
    ["another subject key", { subjectKey: "user:other" }, "subjectKey is immutable"],
    ["another target", { targetName: "another" }, "targetName is immutable"],
    ["another UID of the target", { targetUID: "u2" }, "targetUID is immutable"],
    ["no UID of the target, to set another one later", { targetUID: null }, "targetUID is immutable"],
  ])("an instance cannot get %s", async (_, spec, message) => {
    expect(await change("mcpi", "fixed", spec)).toContain(message)
  })

  test("an instance that was made without the UID of its target can get it once", async () => {
    expect(await change("mcpi", "free", { targetUID: "u1" })).toBe("accepted")
    expect(await change("mcpi", "free", { targetUID: "u2" })).toContain("targetUID is immutable")
  })

  test.each<readonly [string, Fields]>([
    ["another boundary", { isolationBoundary: "per_user" }],
    ["the default boundary by leaving it out", { isolationBoundary: null }],
  ])("a target cannot get %s", async (_, spec) => {
    expect(await change("mcpt", "fixed", spec)).toContain(
      "isolationBoundary is immutable: delete the target and create it again",
    )
  })

  test("a target keeps its transport, also when that is left out: there is one, and it is the default", async () => {
    expect(await change("mcpt", "fixed", { transportType: "stdio" })).toContain('Unsupported value: "stdio"')
    expect(await change("mcpt", "fixed", { transportType: null })).toBe("accepted")
    const spec = ["get", "mcpt", "fixed", "-n", namespace, "-o", "jsonpath={.spec.transportType}"]
    expect(await kubectl(spec)).toBe("kubernetes")
  })

  test("the rest can change", async () => {
    expect(await change("mcpi", "fixed", { image: "other:1", idleTTL: "1m" })).toBe("accepted")
    expect(await change("mcpt", "fixed", { image: "other:1", statefulness: "stateless" })).toBe("accepted")
  })
})

describe("what people see", () => {
  const status = {
    phase: "Ready",
    podName: "seen-abcde",
    restarts: 2,
    lastUsedTime: new Date(Date.now() - 30 * 3_600_000).toISOString(),
    conditions: [{ type: "Ready", status: "True", reason: "PodReady", message: "", lastTransitionTime: "" }],
  }
  const setStatus = (resource: string, name: string, value: object) => {
    const patch = JSON.stringify({ status: value })
    return kubectl(["patch", resource, name, "-n", namespace, "--subresource=status", "--type=merge", "-p", patch])
  }
  /** The table that kubectl prints, as cells. */
  const table = async (...args: readonly string[]): Promise<string[][]> => {
    const text = await kubectl(["get", ...args, "-n", namespace])
    return text
      .trimEnd()
      .split("\n")
      .map((line) => line.split(/ {2,}/))
  }

  beforeAll(async () => {
    await kubectl(["create", "-f", "-"], { input: object("MCPInstance", "seen", { targetName: "seen" }) })
    await kubectl(["create", "-f", "-"], { input: object("MCPTarget", "seen", {}) })
    await setStatus("mcpi", "seen", status)
    const accepted = { type: "Accepted", status: "True", reason: "Accepted", message: "", lastTransitionTime: "" }
    await setStatus("mcpt", "seen", { instances: 3, ready: 2, conditions: [accepted] })
  })

  test("kubectl get mcpi tells target, subject, phase, reason, last use and age", async () => {
    const [head, row] = await table("mcpi", "seen")
    expect(head).toEqual(["NAME", "TARGET", "SUBJECT", "PHASE", "REASON", "LAST USED", "AGE"])
    expect(row).toEqual(["seen", "seen", "user:abc123", "Ready", "PodReady", "30h", expect.stringMatching(/^\d+s$/)])
  })

  test("-o wide adds Pod, image, package and restarts", async () => {
    const [head, row] = await table("mcpi", "seen", "-o", "wide")
    expect(head?.slice(-4)).toEqual(["POD", "IMAGE", "PACKAGE", "RESTARTS"])
    // kubectl leaves the cell of a column empty that an object has no value for
    expect(row?.slice(-3)).toEqual(["seen-abcde", "ghcr.io/org/mcp-github:latest", "2"])
  })

  test("kubectl get mcpt tells isolation, acceptance and counts", async () => {
    const [head, row] = await table("mcpt", "seen")
    expect(head).toEqual(["NAME", "ISOLATION", "ACCEPTED", "INSTANCES", "READY", "AGE"])
    expect(row?.slice(0, 5)).toEqual(["seen", "per_user", "True", "3", "2"])
  })

  test("kubectl get reflow lists both kinds", async () => {
    const names = (await kubectl(["get", "reflow", "-n", namespace, "-o", "name"])).trim().split("\n")
    expect(names).toEqual(expect.arrayContaining(["mcpinstance.mcp.reflow.io/seen", "mcptarget.mcp.reflow.io/seen"]))
  })

  test.each([
    ["mcpi", "spec.targetName=seen", "spec.targetName=unseen"],
    ["mcpi", "spec.subjectKey=user:abc123,spec.targetName=seen", "spec.subjectKey=user:x"],
    ["mcpt", "spec.isolationBoundary=per_user", "spec.isolationBoundary=per_role"],
  ])("%s are found by the field selector %s", async (resource, right, wrong) => {
    const get = (selector: string) =>
      kubectl(["get", resource, "-n", namespace, "-o", "name", "--field-selector", selector])
    expect((await get(right)).trim()).toMatch(/^mcp\w+\.mcp\.reflow\.io\/seen$/)
    expect((await get(wrong)).trim()).toBe("")
  })

  test("kubectl explain tells what each kind and each field is", async () => {
    for (const path of ["mcpi", "mcpi.spec", "mcpi.status", "mcpt", "mcpt.spec", "mcpt.status"]) {
      const text = await kubectl(["explain", path])
      expect(text, path).toMatch(/DESCRIPTION:\n\s+\S/)
      expect(text, path).not.toContain("<no description>")
    }
    const spec = await kubectl(["explain", "mcpi.spec"])
    expect(spec).toMatch(/idleTTL\t<string>\n\s+Delete the instance after this time without use; at least 10s\./)
    expect(await kubectl(["explain", "mcpi.spec.resources.limits"])).toContain("What the container may use at most")
    expect(await kubectl(["explain", "mcpi.spec.env"])).toContain("not for secrets: use credentials")
  })

  test("the stored object has no default but those that the schema names: durations stay with the configuration", async () => {
    const { spec } = JSON.parse(await kubectl(["get", "mcpt", "seen", "-n", namespace, "-o", "json"]))
    expect(spec).toEqual({
      image: "ghcr.io/org/mcp-github:latest",
      port: 8080,
      transportType: "kubernetes",
      statefulness: "stateful",
      isolationBoundary: "per_user",
    })
  })
})

describe("kubectl apply -f crd/ -f rbac/ -f manager/", () => {
  type Placed = {
    kind: string
    metadata: { name: string; namespace?: string }
    subjects?: { namespace: string }[]
    spec?: { replicas?: number }
  }

  /** The three folders for a pair of namespaces of this test, and without Pods. */
  const install = async (): Promise<string> => {
    const own = await makeNamespace("generated-own")
    const instances = await makeNamespace("generated-instances")
    const moved = new Map([
      [namespaces.own, own],
      [namespaces.instances, instances],
    ])
    const move = (name: string): string => moved.get(name) ?? name
    const folder = await makeFolder()
    for (const path of globSync("{crd,rbac,manager}/*.yaml", { cwd: root })) {
      const items = parseAllDocuments(readFileSync(join(root, path), "utf8")).map((each) => each.toJS() as Placed)
      for (const item of items) {
        if (item.kind === "Namespace") item.metadata.name = move(item.metadata.name)
        if (item.metadata.namespace !== undefined) item.metadata.namespace = move(item.metadata.namespace)
        for (const subject of item.subjects ?? []) subject.namespace = move(subject.namespace)
        if (item.spec?.replicas !== undefined) item.spec.replicas = 0
      }
      await mkdir(dirname(join(folder, path)), { recursive: true })
      await writeFile(join(folder, `${path}.json`), JSON.stringify({ apiVersion: "v1", kind: "List", items }))
    }
    return folder
  }

  /** What stands in the objects of the folder, without what controllers write. */
  const contents = async (folder: string): Promise<unknown[]> => {
    const { items } = (await kubectlJson(["get", "--recursive", "-f", folder])) as { items: Record<string, unknown>[] }
    return items.map(({ metadata, status: _, ...rest }) => {
      const { name, generation, labels, uid } = metadata as Record<string, unknown>
      return { ...rest, metadata: { name, generation, labels, uid } }
    })
  }

  test("is accepted without a warning, and a second time changes nothing", async () => {
    const folder = await install()
    await kubectl(["apply", "-f", join(folder, "rbac")])
    await kubectl(["apply", "--recursive", "--warnings-as-errors", "-f", folder])
    const before = await contents(folder)
    const again = (await kubectl(["apply", "--recursive", "-f", folder])).trim().split("\n")
    expect(await contents(folder)).toEqual(before)
    expect(again.length).toBeGreaterThan(globSync("{crd,rbac,manager}/*.yaml", { cwd: root }).length)
    // kubectl sends the selector of a PodDisruptionBudget anew each time and calls that «configured»
    const told = again.filter((line) => !line.startsWith("poddisruptionbudget"))
    expect(told.filter((line) => !line.endsWith(" unchanged"))).toEqual([])
  })
})
