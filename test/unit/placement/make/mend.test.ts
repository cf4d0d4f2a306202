import { afterEach, beforeEach, expect, test } from "vitest"
import { createMemoryCluster, type MemoryCluster } from "../../../../src/adapters/memory/cluster.ts"
import { fromSecretData, secretKind } from "../../../../src/api/kinds/kubernetes.ts"
import { type MCPInstance, mcpInstanceKind } from "../../../../src/api/kinds/mcp-instance.ts"
import { type MCPTarget, mcpTargetKind } from "../../../../src/api/kinds/mcp-target.ts"
import type { Composition } from "../../../../src/credentials/compose.ts"
import { toCompositionSecret } from "../../../../src/credentials/secret.ts"
import { AppError } from "../../../../src/errors.ts"
import { toInstance } from "../../../../src/placement/make/create.ts"
import { createMending } from "../../../../src/placement/make/mend.ts"
import { target as targetOf } from "../../../support/build/who.ts"
import { type FakeClock, fakeClock } from "../../../support/fake-clock.ts"
import { quietTelemetry } from "../../../support/quiet-telemetry.ts"

const namespace = "reflow"
const { signal } = new AbortController()
const expiry = Date.parse("2030-06-01T00:00:00Z")
let clock: FakeClock
let cluster: MemoryCluster
let target: MCPTarget
let instance: MCPInstance
let composition: Composition | AppError
let composed: number

beforeEach(async () => {
  clock = fakeClock()
  cluster = createMemoryCluster({ clock, telemetry: quietTelemetry() })
  target = await cluster.create(mcpTargetKind, { ...targetOf(), metadata: { name: "github", namespace } })
  const plan = { name: "one", namespace, target, subjectKey: "user:alice", secretName: "one-abcde" }
  instance = await cluster.create(mcpInstanceKind, toInstance({ ...plan, scopes: ["s"], expiresAt: expiry }))
  composition = { values: { TOKEN: "now" }, scopes: ["s"], changed: async () => false, expiresAt: expiry }
  composed = 0
})
afterEach(() => cluster.close())

const mending = () => {
  const compose = async (): Promise<Composition> => {
    composed++
    if (composition instanceof AppError) throw composition
    return composition
  }
  const mend = createMending({ cluster, namespace, compose, clock, log: quietTelemetry().log })
  const holder = { subjectKey: "user:alice", issuer: "corp", subject: "alice", groups: [], roles: [] }
  return () => mend(instance, { name: "one", target, subjectKey: "user:alice", holder }, signal)
}
const values = async () => (await cluster.list(secretKind, { namespace })).items.map(({ data }) => fromSecretData(data))

test("an instance without its Secret gets one with the values that apply now, which it owns", async () => {
  expect(await mending()()).toBe("mended")
  const secret = await cluster.get(secretKind, { namespace, name: "one-abcde" })
  expect(secret?.metadata.ownerReferences).toMatchObject([{ uid: instance.metadata.uid }])
  expect(await values()).toEqual([{ TOKEN: "now" }])
})

test("a Secret that is there by now stays as it is, and no credential is read", async () => {
  await cluster.create(secretKind, toCompositionSecret(instance, { TOKEN: "before" }))
  expect(await mending()()).toBe("mended")
  expect(composed).toBe(0)
  expect(await values()).toEqual([{ TOKEN: "before" }])
})

test.each<[string, Partial<Composition>]>([
  ["of other scopes", { scopes: ["s", "t"] }],
  ["that expire before the instance ends", { expiresAt: expiry - 1 }],
])("an instance is replaced if the values that apply now are %s", async (_, change) => {
  composition = { ...(composition as Composition), ...change }
  expect(await mending()()).toBe("restart")
  expect(await values()).toEqual([])
})

test("it is tried once in ten seconds, since the kubelet does not look more often", async () => {
  const mend = mending()
  await mend()
  await cluster.delete(secretKind, { namespace, name: "one-abcde" })
  await clock.advance(9_000)
  await mend()
  expect(await values()).toEqual([])
  await clock.advance(1_000)
  await mend()
  expect(await values()).toHaveLength(1)
})

test("an attempt that failed is told, and the next request tries again", async () => {
  const mend = mending()
  const before = composition
  composition = new AppError("CredentialMissing", { detail: "TOKEN is missing" })
  await expect(mend()).rejects.toMatchObject({ code: "CredentialMissing" })
  composition = before
  expect(await mend()).toBe("mended")
  expect(await values()).toHaveLength(1)
})
