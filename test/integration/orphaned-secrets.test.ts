/** What becomes of the Secret of an instance that is deleted with `--cascade=orphan`. */
import { afterEach, beforeEach, expect, test } from "vitest"
import { createMemoryCluster, type MemoryCluster } from "../../src/adapters/memory/cluster.ts"
import { type Secret, secretKind } from "../../src/api/kinds/kubernetes.ts"
import { type MCPInstance, mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import { type MCPTarget, mcpTargetKind } from "../../src/api/kinds/mcp-target.ts"
import { giveToInstance, toCompositionSecret } from "../../src/credentials/secret.ts"
import { AppError } from "../../src/errors.ts"
import { removeOrphanedSecrets } from "../../src/placement/make/orphaned-secrets.ts"
import type { ClusterPort } from "../../src/ports/cluster.ts"
import { instance as instanceOf } from "../support/build/placed.ts"
import { target as targetOf } from "../support/build/who.ts"
import { type FakeClock, fakeClock } from "../support/fake-clock.ts"
import { quietTelemetry } from "../support/quiet-telemetry.ts"

const namespace = "reflow"
const name = "github-user-alice"
const { signal } = new AbortController()
let clock: FakeClock
let cluster: MemoryCluster
let target: MCPTarget
let calls: string[]
let broken: boolean
let log: ReturnType<typeof quietTelemetry>
let ends: (() => void)[]

/** A gateway that follows the instances. */
const startGateway = async (): Promise<void> => {
  const client = cluster.client({
    fieldManager: "gateway",
    intercept: {
      call: async ({ verb, kind }, run) => {
        if (kind === "Secret") calls.push(verb)
        if (kind === "Secret" && broken) throw new AppError("ClusterUnavailable", { detail: "away" })
        return run()
      },
    },
  })
  const instances = client.watch(mcpInstanceKind, { namespace })
  await clock.advance(0)
  await instances.synced
  ends.push(removeOrphanedSecrets({ cluster: client, namespace, instances, clock, log: log.log, signal }))
}

beforeEach(async () => {
  clock = fakeClock()
  log = quietTelemetry()
  cluster = createMemoryCluster({ clock, telemetry: quietTelemetry() })
  target = await cluster.create(mcpTargetKind, { ...targetOf(), metadata: { name: "github", namespace } })
  ;[calls, broken, ends] = [[], false, []]
  await startGateway()
})
afterEach(async () => {
  for (const end of ends) end()
  await cluster.close()
})

type Made = { readonly instance: MCPInstance; readonly secret: Secret }

const make = async (
  finalizers: readonly string[],
  change: (secret: Secret) => Secret = (same) => same,
): Promise<Made> => {
  const composed = toCompositionSecret({ instance: name, target, namespace, values: { TOKEN: "canary" } })
  const secret = await cluster.create(secretKind, change(composed))
  const spec = { secretName: secret.metadata.name }
  const { metadata, ...rest } = instanceOf({ name, spec, metadata: { finalizers: [...finalizers] } })
  const { uid: _, resourceVersion: __, ...own } = metadata
  const instance = await cluster.create(mcpInstanceKind, { ...rest, metadata: own })
  await giveToInstance(cluster as ClusterPort, secret, instance, { signal })
  return { instance, secret }
}

/** What the cluster's collector does for `kubectl delete --cascade=orphan`. */
const orphan = async ({ secret }: Made): Promise<void> => {
  await cluster.delete(mcpInstanceKind, { namespace, name })
  await clock.advance(0)
  await cluster.mergePatch(
    secretKind,
    { namespace, name: secret.metadata.name },
    { metadata: { ownerReferences: null } },
  )
  await cluster.mergePatch(mcpInstanceKind, { namespace, name }, { metadata: { finalizers: null } })
  await clock.advance(0)
}
const left = async (): Promise<readonly string[]> =>
  (await cluster.list(secretKind, { namespace })).items.map(({ metadata }) => metadata.name)

test("it goes, with the credential in it, and the log says so", async () => {
  await orphan(await make(["orphan"]))
  expect(await left()).toEqual([])
  expect(log.lines.map(({ message }) => message)).toEqual([
    "removed the Secret of an instance that was deleted without it",
  ])
  expect(JSON.stringify(log.lines)).not.toContain("canary")
})

test("two gateways that do it at once do it once", async () => {
  await startGateway()
  await orphan(await make(["orphan"]))
  expect(await left()).toEqual([])
  expect(log.lines).toHaveLength(1)
})

test("one that a person made stays, and so does one that has an owner", async () => {
  await orphan(await make(["orphan"], (secret) => ({ ...secret, metadata: { ...secret.metadata, labels: {} } })))
  expect(await left()).toHaveLength(1)
  const made = await make(["orphan"])
  await cluster.delete(mcpInstanceKind, { namespace, name })
  const { apiVersion, kind, metadata } = target
  const owner = { apiVersion, kind, name: metadata.name, uid: metadata.uid }
  const ref = { namespace, name: made.secret.metadata.name }
  await cluster.mergePatch(secretKind, ref, { metadata: { ownerReferences: [owner] } })
  await cluster.mergePatch(mcpInstanceKind, { namespace, name }, { metadata: { finalizers: null } })
  await clock.advance(0)
  expect(await left()).toHaveLength(2)
})

test("an instance that goes as usual costs no call: the cluster takes its Secret", async () => {
  await make([])
  await cluster.delete(mcpInstanceKind, { namespace, name })
  await clock.advance(1_000)
  expect(await left()).toEqual([])
  expect(calls).toEqual([])
})

test("an API server that is away is asked again, and given up with a word in the log", async () => {
  const made = await make(["orphan"])
  broken = true
  await orphan(made)
  await clock.advance(3_000)
  broken = false
  await clock.advance(2_000)
  expect(await left()).toEqual([])
  broken = true
  log.lines.length = 0
  await orphan(await make(["orphan"]))
  await clock.advance(60_000)
  expect(await left()).toHaveLength(1)
  expect(log.lines).toMatchObject([{ level: "warn", fields: { name: expect.stringContaining(name) } }])
})
