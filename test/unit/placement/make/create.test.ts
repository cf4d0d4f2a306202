import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { createMemoryCluster, type MemoryCluster } from "../../../../src/adapters/memory/cluster.ts"
import { fromSecretData, secretKind } from "../../../../src/api/kinds/kubernetes.ts"
import { mcpInstanceKind } from "../../../../src/api/kinds/mcp-instance.ts"
import { type MCPTarget, mcpTargetKind } from "../../../../src/api/kinds/mcp-target.ts"
import { labels } from "../../../../src/api/names.ts"
import { createCompose } from "../../../../src/credentials/compose.ts"
import { toCompositionSecret } from "../../../../src/credentials/secret.ts"
import { deleteScope, setScope } from "../../../../src/credentials/store.ts"
import { AppError, type ErrorCode } from "../../../../src/errors.ts"
import { type CreateDeps, createInstance, toInstance } from "../../../../src/placement/make/create.ts"
import { createTurns } from "../../../../src/waiting/turns.ts"
import { aroundWrites, type PortWrite } from "../../../support/around-port.ts"
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

const parts = () => ({
  cluster,
  namespace,
  compose: createCompose({ cluster, namespace }),
  clock,
  log: quietTelemetry().log,
  find: () => undefined,
  turns: createTurns(8),
  replica: "gw-0",
})
const holder = { subjectKey: "user:alice", issuer: "corp", subject: "alice", groups: [], roles: [] }
const order = () => ({ name: "one", target, subjectKey: "user:alice", holder })

/** Makes Alice's instance; `meanwhile` runs after her credentials were read, just before it is there. */
const make = async (meanwhile: () => Promise<unknown>) => {
  const watched = aroundWrites(cluster, async ({ verb, kind }, run) => {
    if (verb === "create" && kind === "MCPInstance") await meanwhile()
    return run()
  })
  const log = quietTelemetry().log
  const deps = { ...parts(), cluster: watched, log }
  const { instance: made } = await createInstance(deps, order(), signal)
  await clock.advance(0)
  const secret = await cluster.get(secretKind, { namespace, name: made.spec.secretName ?? "" })
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
    const { log } = quietTelemetry()
    return { words, made: createInstance({ ...parts(), cluster: refusing, log }, order(), signal) }
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

describe("an instance and its Secret", () => {
  /** The writes of one creation, in order; `onWrite` may throw or act before a write. */
  const run = async (onWrite: (write: PortWrite) => unknown = () => {}, more: Partial<CreateDeps> = {}) => {
    const writes: string[] = []
    const watched = aroundWrites(cluster, async (write, next) => {
      writes.push(`${write.verb} ${write.kind}`)
      await onWrite(write)
      return next()
    })
    const deps = { ...parts(), cluster: watched, ...more }
    const outcome = await createInstance(deps, order(), signal).catch((error: unknown) => ({ error }))
    await clock.advance(0)
    return { writes, outcome }
  }
  const secrets = async () => (await cluster.list(secretKind, { namespace })).items
  const instances = async () => (await cluster.list(mcpInstanceKind, { namespace })).items
  const stranger = (spec: object = {}) =>
    cluster.create(mcpInstanceKind, {
      ...toInstance({ name: "one", namespace, target, subjectKey: "user:alice", secretName: "one-other", scopes: [] }),
      ...spec,
    })

  test("take two writes, and the Secret belongs to the instance from the beginning", async () => {
    const { writes, outcome } = await run()
    expect(writes).toEqual(["create MCPInstance", "create Secret"])
    const [instance] = await instances()
    const { name, uid } = instance?.metadata ?? {}
    expect(outcome).toMatchObject({ created: true, instance: { metadata: { uid } } })
    const [secret] = await secrets()
    expect(secret?.metadata.name).toBe(instance?.spec.secretName)
    expect(secret?.metadata.ownerReferences).toEqual([
      { apiVersion: "mcp.reflow.io/v1alpha1", kind: "MCPInstance", name, uid },
    ])
  })

  test("cost no write if another gateway's instance is known when it is this one's turn", async () => {
    const known = await stranger()
    const { writes, outcome } = await run(undefined, { find: () => known })
    expect(writes).toEqual([])
    expect(outcome).toEqual({ instance: known, created: false })
  })

  test("cost one refused write if another gateway was faster", async () => {
    const { writes, outcome } = await run(({ kind }) => (kind === "MCPInstance" ? stranger() : undefined))
    expect(writes).toEqual(["create MCPInstance"])
    expect(outcome).toMatchObject({ created: false, instance: { spec: { secretName: "one-other" } } })
    expect(await secrets()).toEqual([])
  })

  test("are there although the answer about the instance was lost", async () => {
    const lossy = aroundWrites(cluster, async (write, next) => {
      const made = await next()
      if (write.kind === "MCPInstance") throw new AppError("ClusterUnavailable", { detail: "no answer" })
      return made
    })
    expect(await createInstance({ ...parts(), cluster: lossy }, order(), signal)).toMatchObject({ created: true })
    expect((await secrets()).map(({ metadata }) => metadata.name)).toEqual([(await instances())[0]?.spec.secretName])
  })

  test("are both gone if the Secret is refused", async () => {
    const { writes, outcome } = await run(({ kind, verb }) => {
      if (kind === "Secret" && verb === "create") throw new AppError("QuotaExceeded", { detail: "no room" })
    })
    expect(writes).toEqual(["create MCPInstance", "create Secret", "delete MCPInstance"])
    expect(outcome).toMatchObject({ error: { code: "QuotaExceeded" } })
    expect([await instances(), await secrets()]).toEqual([[], []])
  })

  test("are told by the first error if the instance cannot be deleted either", async () => {
    const { outcome } = await run(({ kind, verb }) => {
      if (verb === "delete") throw new AppError("ClusterUnavailable", { detail: "no answer" })
      if (kind === "Secret") throw new AppError("ApiForbidden", { detail: "no", data: { status: 403 } })
    })
    expect(outcome).toMatchObject({ error: { code: "InstanceFailed", data: { reason: "CreateRefused" } } })
    expect(await instances()).toHaveLength(1)
  })

  test("stay if another gateway has created the Secret already", async () => {
    const { outcome } = await run(async ({ kind }) => {
      const [instance] = await instances()
      if (kind === "Secret" && instance !== undefined)
        await cluster.create(secretKind, toCompositionSecret(instance, { TOKEN: "its" }))
    })
    expect(outcome).toMatchObject({ created: true })
    expect((await secrets()).map(({ data }) => fromSecretData(data))).toEqual([{ TOKEN: "its" }])
  })

  test("are given up if the Secret's name belongs to somebody else", async () => {
    const { outcome } = await run(async ({ kind }) => {
      const [instance] = await instances()
      if (kind !== "Secret" || instance === undefined) return
      const { metadata, ...rest } = toCompositionSecret(instance, { TOKEN: "planted" })
      const { ownerReferences: _, ...own } = metadata
      await cluster.create(secretKind, { ...rest, metadata: own })
    })
    expect(outcome).toHaveProperty("error")
    expect(await instances()).toEqual([])
  })

  test("of many users come one after the other, so that no Secret is late", async () => {
    const turns = createTurns(2)
    const writes: string[] = []
    const watched = aroundWrites(cluster, async ({ kind, name }, next) => {
      writes.push(`${kind} ${name.slice(0, 2)}`)
      return next()
    })
    const names = ["a1", "b2", "c3", "d4", "e5", "f6"]
    const all = names.map((name) =>
      createInstance({ ...parts(), cluster: watched, turns }, { ...order(), name }, signal),
    )
    await Promise.all(all)
    for (const name of names)
      expect(writes.indexOf(`Secret ${name}`) - writes.indexOf(`MCPInstance ${name}`)).toBeLessThanOrEqual(3)
  })
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
