import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { createMemoryCluster, type MemoryCluster } from "../../../src/adapters/memory/cluster.ts"
import { type Lease, leaseKind } from "../../../src/api/kinds/kubernetes.ts"
import { createGateways, type Gateways } from "../../../src/operator/sightings.ts"
import type { Reflection } from "../../../src/ports/cluster.ts"
import { presenceKey } from "../../../src/signals/presence.ts"
import { type FakeClock, fakeClock } from "../../support/fake-clock.ts"
import { quietTelemetry } from "../../support/quiet-telemetry.ts"

const lease = { namespace: "reflow-system", name: "reflow-gateways" }

let clock: FakeClock
let cluster: MemoryCluster
let leases: Reflection<Lease>
let gateways: Gateways
/** How long the API server has not been heard. */
let silenceMs: number

const write = (annotations: Readonly<Record<string, string | null>>) =>
  cluster.mergePatch(leaseKind, lease, {
    metadata: {
      annotations: Object.fromEntries(Object.entries(annotations).map(([key, value]) => [presenceKey(key), value])),
    },
  })
const pass = async (seconds: number): Promise<void> => {
  await clock.advance(seconds * 1_000)
}

beforeEach(async () => {
  clock = fakeClock()
  silenceMs = 0
  cluster = createMemoryCluster({ clock, telemetry: quietTelemetry() })
  const { apiVersion, kind } = leaseKind
  await cluster.create(leaseKind, { apiVersion, kind, metadata: { ...lease, annotations: { other: "x" } } })
  await write({ old: "2001-01-01T00:00:00.000Z" })
  leases = cluster.watch(leaseKind, { namespace: lease.namespace })
  await leases.synced
  gateways = createGateways({ ...leases, silenceMs: () => silenceMs }, clock)
})
afterEach(async () => {
  gateways.close()
  await leases.close()
  await cluster.close()
})

describe("a gateway lives", () => {
  it("for forty seconds after its word was seen to change, whatever time it wrote", async () => {
    await write({ new: "2099-01-01T00:00:00.000Z" })
    await pass(0)
    expect(gateways.running()).toEqual(["old", "new"])
    await pass(30)
    await write({ new: "2098-01-01T00:00:00.000Z" })
    await pass(9.9)
    expect(gateways.running()).toEqual(["old", "new"])
    await pass(0.1)
    expect(gateways.running()).toEqual(["new"])
  })

  it("no longer when it takes its word back, or when the Lease is gone", async () => {
    await write({ new: "1" })
    await write({ old: null })
    await pass(0)
    expect(gateways.running()).toEqual(["new"])
    await cluster.delete(leaseKind, lease)
    await pass(0)
    expect(gateways.running()).toEqual([])
  })

  it("as far as is known, while the API server is not heard", async () => {
    await pass(60)
    silenceMs = 30_000
    expect(gateways.running()).toEqual(["old"])
    silenceMs = 20_000
    expect(gateways.running()).toEqual([])
  })

  it("nowhere if nobody tells of gateways", () => {
    expect(createGateways(undefined, clock).running()).toEqual([])
  })
})
