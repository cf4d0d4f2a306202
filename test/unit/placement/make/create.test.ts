import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { createMemoryCluster, type MemoryCluster } from "../../../../src/adapters/memory/cluster.ts"
import { fromSecretData, secretKind } from "../../../../src/api/kinds/kubernetes.ts"
import { type MCPInstance, mcpInstanceKind } from "../../../../src/api/kinds/mcp-instance.ts"
import { type MCPTarget, mcpTargetKind } from "../../../../src/api/kinds/mcp-target.ts"
import { labels } from "../../../../src/api/names.ts"
import { createCompose } from "../../../../src/credentials/compose.ts"
import { deleteScope, setScope } from "../../../../src/credentials/store.ts"
import { AppError, type ErrorCode } from "../../../../src/errors.ts"
import { createInstance } from "../../../../src/placement/make/create.ts"
import { createCreationTurns } from "../../../../src/placement/make/creation-turns.ts"
import { toInstance } from "../../../../src/placement/make/new-instance.ts"
import type { ClusterPort } from "../../../../src/ports/cluster.ts"
import { aroundWrites } from "../../../support/around-port.ts"
import { target as targetOf } from "../../../support/build/who.ts"
import { type FakeClock, fakeClock } from "../../../support/fake-clock.ts"
import { quietTelemetry } from "../../../support/quiet-telemetry.ts"

const namespace = "reflow"
const { signal } = new AbortController()
let clock: FakeClock
let cluster: MemoryCluster
let target: MCPTarget

beforeEach(async () => {
  clock = fakeClock()
  cluster = createMemoryCluster({ clock, telemetry: quietTelemetry() })
  target = await cluster.create(mcpTargetKind, { ...targetOf(), metadata: { name: "github", namespace } })
})
afterEach(() => cluster.close())

const scope = () =>
  ({ cluster, target, namespace, scope: "user", who: { issuer: "corp", name: "alice" }, signal }) as const
const write = (value: string) => setScope({ ...scope(), values: { TOKEN: value } })

/** Dependencies with this cluster. `known`: what the watch has shown of the instance. */
const depsOf = (port: ClusterPort, known?: MCPInstance) => ({
  cluster: port,
  namespace,
  compose: createCompose({ cluster, namespace }),
  turns: createCreationTurns({ clock }),
  view: {
    get: () => known,
    confirm: (name: string) => cluster.get(mcpInstanceKind, { namespace, name }),
  },
  clock,
  log: quietTelemetry().log,
})
const holder = { subjectKey: "user:alice", issuer: "corp", subject: "alice", groups: [], roles: [] }
const orderOf = (name = "one") => ({ name, target, subjectKey: "user:alice", holder })

/** Makes Alice's instance; `meanwhile` runs after her credentials were read, just before it is there. */
const make = async (meanwhile: () => Promise<unknown>) => {
  const watched = aroundWrites(cluster, async ({ verb, kind }, run) => {
    if (verb === "create" && kind === "MCPInstance") await meanwhile()
    return run()
  })
  const made = await createInstance(depsOf(watched), orderOf(), signal)
  await clock.advance(0)
  const secret = await cluster.get(secretKind, { namespace, name: made.instance.spec.secretName ?? "" })
  const now = await cluster.get(mcpInstanceKind, { namespace, name: "one" })
  return { value: fromSecretData(secret?.data).TOKEN, restartTime: now?.spec.restartTime }
}

describe("an instance that the API server refuses", () => {
  const refuse = (kind: string, code: ErrorCode, status = 403, said = "in the API server's words") => {
    const words = new AppError(code, { detail: `create ${kind}: ${said}`, data: { status } })
    const refusing = aroundWrites(cluster, async (write, run) => {
      if (write.verb === "create" && write.kind === kind) throw words
      return run()
    })
    return { words, made: createInstance(depsOf(refusing), orderOf(), signal) }
  }

  test.each(["Secret", "MCPInstance"])("for want of quota for its %s is told with the quota's words", async (kind) => {
    const { made, words } = refuse(kind, "QuotaExceeded")
    await expect(made).rejects.toMatchObject({
      code: "QuotaExceeded",
      message: expect.stringContaining(words.message),
      data: { reason: "QuotaExceeded", instance: "one" },
      retryAfterSeconds: 30,
      cause: words,
    })
  })

  test.each<[string, ErrorCode]>([
    ["Secret", "ApiForbidden"],
    ["MCPInstance", "ApiInvalid"],
  ])("at its %s (%s) is told without those words, which the log has", async (kind, code) => {
    const { made, words } = refuse(kind, code)
    const error = await made.catch((thrown) => thrown)
    expect(error).toMatchObject({ code: "InstanceFailed", data: { reason: "CreateRefused" }, cause: words })
    expect(error.message + JSON.stringify(error.data)).not.toContain("words")
  })

  test.each(["Secret", "MCPInstance"])(
    "for want of a webhook's answer about its %s is told so, without its address",
    async (kind) => {
      const said = 'Internal error occurred: failed calling webhook "w.example": Post "https://10.0.0.7:443": refused'
      const { made, words } = refuse(kind, "ClusterUnavailable", 500, said)
      const error = await made.catch((thrown) => thrown)
      expect(error).toMatchObject({ code: "InstanceFailed", data: { reason: "WebhookFailed" }, cause: words })
      expect(error.message + JSON.stringify(error.data)).not.toContain("10.0.0.7")
    },
  )

  test("or cannot make at the moment is told without those words too, and may be tried again", async () => {
    const { made, words } = refuse("MCPInstance", "ClusterUnavailable", 500)
    const error = await made.catch((thrown) => thrown)
    expect(error).toMatchObject({ code: "ClusterUnavailable", cause: words })
    expect(error.message + JSON.stringify(error.data)).not.toContain("words")
  })
})

describe("a credential that is written while an instance is made", () => {
  test.each<[string, () => Promise<unknown>]>([
    ["changed", () => write("new")],
    ["removed", () => deleteScope(scope())],
  ])("and %s is not waited for until somebody restarts it: the instance asks for that itself", async (_how, change) => {
    await write("old")
    const { value, restartTime } = await make(change)
    expect(value).toBe("old")
    expect(restartTime).toBe(new Date(clock.now()).toISOString())
  })

  test("for the first time too", async () => {
    const { value, restartTime } = await make(() => write("new"))
    expect(value).toBeUndefined()
    expect(restartTime).toBeDefined()
  })

  test("by somebody else concerns nobody", async () => {
    await write("old")
    const other = { ...scope(), who: { issuer: "corp", name: "bob" } }
    const { value, restartTime } = await make(() => setScope({ ...other, values: { TOKEN: "new" } }))
    expect(value).toBe("old")
    expect(restartTime).toBeUndefined()
  })
})

describe("when another gateway makes the same instance", () => {
  /** The cluster, with a list of what is created. */
  const listed = () => {
    const creates: string[] = []
    const port = aroundWrites(cluster, async ({ verb, kind }, run) => {
      if (verb === "create") creates.push(kind)
      return run()
    })
    return { creates, port }
  }
  const others = async () => (await createInstance(depsOf(cluster), orderOf(), signal)).instance

  test("and the watch has shown it by then, nothing is written", async () => {
    const known = await others()
    const { creates, port } = listed()
    expect(await createInstance(depsOf(port, known), orderOf(), signal)).toEqual({ instance: known, created: false })
    expect(creates).toEqual([])
  })

  test("and the watch shows it after the Secret was made, the Secret is deleted and nothing else written", async () => {
    const known = await others()
    const { creates, port } = listed()
    const deps = {
      ...depsOf(port),
      view: { ...depsOf(port).view, get: () => (creates.length > 0 ? known : undefined) },
    }
    expect(await createInstance(deps, orderOf(), signal)).toMatchObject({ created: false })
    await clock.advance(0)
    expect(creates).toEqual(["Secret"])
    expect((await cluster.list(secretKind, { namespace })).items.map(({ metadata }) => metadata.name)).toEqual([
      known.spec.secretName,
    ])
  })

  test("and the watch is late, the API server is asked after a wait for the turn, and nothing is written", async () => {
    const ends = Array.from({ length: 4 }, () => Promise.withResolvers<void>())
    const { creates, port } = listed()
    const deps = depsOf(port)
    for (const { promise } of ends) void deps.turns("crowd", () => promise, signal)
    const made = createInstance(deps, orderOf(), signal)
    const known = await others()
    for (const { resolve } of ends) resolve()
    expect(await made).toMatchObject({ instance: { metadata: { uid: known.metadata.uid } }, created: false })
    expect(creates).toEqual([])
  })

  test("it is told that the instance is not its own; the first one is told that it is", async () => {
    expect(await createInstance(depsOf(cluster), orderOf(), signal)).toMatchObject({ created: true })
    expect(await createInstance(depsOf(cluster), orderOf(), signal)).toMatchObject({ created: false })
  })
})

test("an instance whose credentials take long to compose delays no other one", async () => {
  const stuck = Promise.withResolvers<never>()
  const deps = depsOf(cluster)
  const slow = { ...deps, compose: () => stuck.promise }
  for (let index = 0; index < 8; index++) void createInstance(slow, orderOf(`slow-${index}`), signal).catch(() => {})
  expect(await createInstance(deps, orderOf(), signal)).toMatchObject({ created: true })
  stuck.reject(new Error("ended"))
})

const plan = {
  name: "github-user-abc",
  namespace: "reflow",
  target: targetOf(),
  subjectKey: "user:abc",
  secretName: "github-user-abc-xyz12",
  scopes: ["github-env-default", "github-env-user-x"],
}

describe("a new instance", () => {
  test("takes over from its target what concerns the container and its life, and nothing else", () => {
    const container = {
      image: "github@sha256:1",
      port: 3000,
      path: "/rpc",
      command: ["node"],
      args: ["x.js"],
      env: [{ name: "MODE", value: "x" }],
      healthPath: "/healthz",
      resources: { limits: { cpu: "1" } },
      security: { runAsUser: 1000 },
      idleTTL: "10m",
      maxLifetime: "1h",
      startTimeout: "2m",
      imagePullPolicy: "Always" as const,
      imagePullSecrets: ["pull"],
      podTemplates: [{ name: "labels" }],
    }
    const { spec } = toInstance({
      ...plan,
      target: targetOf({ ...container, paused: false, access: { users: ["a"] }, credentials: [{ name: "TOKEN" }] }),
    })
    expect(spec).toEqual({
      ...container,
      targetName: "github",
      targetUID: "target-uid",
      subjectKey: "user:abc",
      secretName: "github-user-abc-xyz12",
    })
  })

  test("belongs to its target, records its scopes, and shows its subject only if it may", () => {
    const { metadata } = toInstance({ ...plan, subject: "corp/alice" })
    expect(metadata.ownerReferences).toEqual([
      { apiVersion: "mcp.reflow.io/v1alpha1", kind: "MCPTarget", name: "github", uid: "target-uid" },
    ])
    expect(metadata.labels).toMatchObject({ [labels.target]: "github", [labels.instance]: "github-user-abc" })
    expect(metadata.annotations).toEqual({
      [labels.credentialScopes]: "github-env-default,github-env-user-x",
      [labels.subject]: "corp/alice",
    })
    expect(toInstance(plan).metadata.annotations).not.toHaveProperty(labels.subject)
  })

  test("says when its values expire", () => {
    const expiresAt = Date.parse("2030-01-01T00:00:00Z")
    expect(toInstance({ ...plan, expiresAt }).spec.secretExpireTime).toBe("2030-01-01T00:00:00.000Z")
    expect(toInstance(plan).spec).not.toHaveProperty("secretExpireTime")
  })

  test("is what the kind's schema and rules accept", () => {
    const made = toInstance(plan)
    expect(mcpInstanceKind.schema?.safeParse(made).success).toBe(true)
    expect(mcpInstanceKind.rules?.filter(({ path }) => path === "").every(({ holds }) => holds(made))).toBe(true)
  })
})
