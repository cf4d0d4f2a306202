import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { createMemoryCluster, type MemoryCluster } from "../../../src/adapters/memory/cluster.ts"
import { serviceKind } from "../../../src/api/kinds/kubernetes.ts"
import { type MCPInstance, mcpInstanceKind } from "../../../src/api/kinds/mcp-instance.ts"
import { podKind } from "../../../src/api/kinds/pod.ts"
import { recommendedLabels } from "../../../src/api/names.ts"
import { desiredService } from "../../../src/operator/desired/service.ts"
import { sweep } from "../../../src/operator/sweep.ts"
import { createView } from "../../../src/operator/view.ts"
import { anInstance } from "../../support/build/instance.ts"
import { type FakeClock, fakeClock } from "../../support/fake-clock.ts"
import { quietTelemetry } from "../../support/quiet-telemetry.ts"

const namespace = "reflow"
let clock: FakeClock
let cluster: MemoryCluster
let instance: MCPInstance

beforeEach(async () => {
  clock = fakeClock()
  cluster = createMemoryCluster({ clock, telemetry: quietTelemetry() })
  const { metadata, spec, ...kind } = anInstance()
  instance = await cluster.create(mcpInstanceKind, { ...kind, spec, metadata: { name: metadata.name, namespace } })
})
afterEach(() => cluster.close())

/** Sweeps with a cache of instances that follows a namespace; resolves with what was removed. */
const sweepBy = async (instancesOf: string): Promise<string[]> => {
  const removed: string[] = []
  const reflections = {
    instances: cluster.watch(mcpInstanceKind, { namespace: instancesOf }),
    pods: cluster.watch(podKind, { namespace }),
    services: cluster.watch(serviceKind, { namespace }),
  }
  await clock.advance(0)
  const views = {
    instances: createView(reflections.instances, clock),
    pods: createView(reflections.pods, clock),
    services: createView(reflections.services, clock),
  }
  const { log } = quietTelemetry()
  const onSwept = (kind: string) => void removed.push(kind)
  await sweep({ cluster, namespace, ...views, log, onSwept }, new AbortController().signal)
  for (const view of Object.values(views)) view.close()
  await Promise.all(Object.values(reflections).map((each) => each.close()))
  return removed
}

const nowhere = "a cache that has seen no instance yet"
const services = async () => (await cluster.list(serviceKind, { namespace })).items.map(({ metadata }) => metadata.name)

describe("the sweep", () => {
  it("leaves alone what has a living owner", async () => {
    await cluster.create(serviceKind, desiredService(instance, "p"))
    expect(await sweepBy(namespace)).toEqual([])
    expect(await services()).toEqual([instance.metadata.name])
  })

  it("believes the API server, not its cache, that an owner is gone", async () => {
    await cluster.create(serviceKind, desiredService(instance, "p"))
    expect(await sweepBy(nowhere)).toEqual([])
    expect(await services()).toEqual([instance.metadata.name])
  })

  it("removes what carries our labels and has no owner, once", async () => {
    const { ownerReferences: _, ...metadata } = desiredService(instance, "p").metadata
    await cluster.create(serviceKind, { ...desiredService(instance, "p"), metadata: { ...metadata, name: "lost" } })
    expect(await sweepBy(namespace)).toEqual(["Service"])
    expect(await services()).toEqual([])
    expect(await sweepBy(namespace)).toEqual([])
  })

  it("leaves alone what carries only some of our labels: it is somebody else's", async () => {
    const [first] = Object.entries(recommendedLabels("files-user-a"))
    const metadata = { name: "theirs", namespace, labels: Object.fromEntries([first ?? ["a", "b"]]) }
    await cluster.create(serviceKind, { ...desiredService(instance, "p"), metadata })
    expect(await sweepBy(namespace)).toEqual([])
    expect(await services()).toEqual(["theirs"])
  })
})
