/** What an operator does, each thing by itself: what causes it, and what must be there in the end. */
import { expect } from "vitest"
import { serviceKind } from "../../src/api/kinds/kubernetes.ts"
import { mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import { mcpTargetKind } from "../../src/api/kinds/mcp-target.ts"
import { podKind } from "../../src/api/kinds/pod.ts"
import { labels, recommendedLabels } from "../../src/api/names.ts"
import type { Settings } from "../../src/operator/snapshot.ts"
import { crashedStatus } from "./build/pod.ts"
import type { OperatorWorld } from "./operator-world.ts"

const namespace = "reflow"

/** One thing that an operator does. */
export type Scenario = {
  readonly settings?: Partial<Settings>
  /** Brings the world to where the scenario begins, with an operator that works. */
  readonly before?: (world: OperatorWorld) => Promise<void>
  /** What makes the operator act. */
  readonly cause: (world: OperatorWorld) => Promise<void>
  /** Seconds within which it acts. */
  readonly during: number
  /** What others do in the middle of it, at the moment of the interruption. */
  readonly amid?: (world: OperatorWorld) => Promise<void>
  /** What others do after the restart. */
  readonly after?: (world: OperatorWorld) => Promise<void>
  /** Seconds after which everything must be right. */
  readonly settled: number
  /** The instances in the end: name, phase, and how many starts. */
  readonly sum: readonly string[]
}

const usual = "files-user-a"
const stampNow = ({ clock }: OperatorWorld) => new Date(clock.now()).toISOString()
const making = (name: string, at = 0) => ({ name, spec: { subjectKey: `user:${name}-${at}` } })

const oneReady = async (world: OperatorWorld): Promise<void> => {
  await world.make()
  await world.pass(5)
}
const use = (world: OperatorWorld, name?: string) => world.touch({ inUseBy: { "gw-0": stampNow(world) } }, name)
const endUse = (world: OperatorWorld, name?: string) => world.touch({ inUseBy: { "gw-0": null } }, name)
const newImage = (world: OperatorWorld) => world.edit({ spec: { image: "ghcr.io/org/files:2" } })
const deletePod = async (world: OperatorWorld): Promise<void> => {
  for (const { metadata } of await world.livePods())
    await world.cluster.delete(podKind, { namespace, name: metadata.name }, { gracePeriodSeconds: 0 })
}

/** Instances that belong to their target, as gateways make them. */
const makeFollowers = async (world: OperatorWorld, names: readonly string[]): Promise<void> => {
  const target = await world.cluster.get(mcpTargetKind, { namespace, name: "files" })
  if (target === undefined) return
  const { uid = "", generation = 1 } = target.metadata
  const owner = { apiVersion: mcpTargetKind.apiVersion, kind: mcpTargetKind.kind, name: "files", uid }
  for (const name of names) {
    const spec = { targetUID: uid, targetGeneration: generation, subjectKey: `user:${name}` }
    await world.make({ name, spec, metadata: { ownerReferences: [owner] } })
  }
}
const deleteTarget = async ({ cluster }: OperatorWorld): Promise<void> => {
  await cluster.delete(mcpTargetKind, { namespace, name: "files" })
}

const makeOrphans = async ({ cluster }: OperatorWorld): Promise<void> => {
  const metadata = (name: string) => {
    const ours = { ...recommendedLabels("ghost"), [labels.instance]: "ghost", [labels.target]: "files" }
    return { name, namespace, labels: ours }
  }
  const spec = { ports: [{ port: 80 }] }
  for (const name of ["ghost-a", "ghost-b"]) {
    const { apiVersion, kind } = serviceKind
    await cluster.create(serviceKind, { apiVersion, kind, metadata: metadata(name), spec })
    const containers = [{ name: "mcp", image: "a" }]
    await cluster.create(podKind, {
      apiVersion: podKind.apiVersion,
      kind: podKind.kind,
      metadata: metadata(name),
      spec: { containers },
    })
  }
}

/** All of them by what they are called in a sentence that begins with «in». */
export const scenarios: Readonly<Record<string, Scenario>> = {
  "a start": { cause: oneReady, during: 0, settled: 10, sum: [`${usual} Ready 1`] },
  "the replacement of an idle server's Pod": {
    before: oneReady,
    cause: newImage,
    during: 10,
    settled: 15,
    sum: [`${usual} Ready 2`],
  },
  "the replacement of a busy server's Pod": {
    before: async (world) => {
      await oneReady(world)
      await use(world)
    },
    cause: async (world) => {
      await newImage(world)
      await world.pass(10)
      await endUse(world)
    },
    during: 10,
    settled: 15,
    sum: [`${usual} Ready 2`],
  },
  "a restart for changed credentials": {
    before: oneReady,
    cause: (world) => world.edit({ spec: { restartTime: stampNow(world) } }),
    during: 10,
    // the operator that was killed may have deleted it or not
    after: async (world) => {
      await world.pass(10)
      expect(await world.instance()).toBeUndefined()
      await world.make({ spec: { secretName: "changed" } })
    },
    settled: 15,
    sum: [`${usual} Ready 1`],
  },
  "the collection of an idle instance": {
    settings: { idle_ttl: 20_000 },
    cause: oneReady,
    during: 30,
    settled: 120,
    sum: [],
  },
  "the end of a lifetime": {
    settings: { max_lifetime: 60_000 },
    before: async (world) => {
      await oneReady(world)
      await use(world)
    },
    cause: (world) => world.pass(60),
    during: 70,
    settled: 90,
    sum: [],
  },
  "the deletion of a target, while its instances start or when they are Ready": {
    before: async (world) => void (await world.makeTarget()),
    cause: async (world) => {
      await makeFollowers(world, ["a", "b"])
    },
    during: 10,
    amid: deleteTarget,
    after: deleteTarget,
    settled: 90,
    sum: [],
  },
  "a change of target": {
    before: async (world) => {
      await world.makeTarget()
      await makeFollowers(world, ["a"])
      await world.pass(10)
    },
    cause: async ({ cluster }) => {
      const patch = { spec: { image: "ghcr.io/org/files:2" } }
      await cluster.mergePatch(mcpTargetKind, { namespace, name: "files" }, patch)
    },
    during: 15,
    settled: 20,
    sum: ["a Ready 2"],
  },
  "a crash loop": {
    before: async ({ kubelet }) => kubelet.play([{ afterMs: 100, status: () => crashedStatus(3) }]),
    cause: oneReady,
    during: 20,
    settled: 60,
    sum: [`${usual} Failed 1`],
  },
  "the end of a failed instance": {
    before: async ({ kubelet }) => kubelet.play([{ afterMs: 100, status: () => crashedStatus(3) }]),
    cause: oneReady,
    during: 305,
    settled: 320,
    sum: [],
  },
  "starts whose Pods are evicted before they are Ready": {
    before: async ({ kubelet }) =>
      kubelet.play([{ afterMs: 100, status: () => ({ phase: "Failed", reason: "Evicted" }) }]),
    cause: async (world) => {
      await use(world, (await world.make()).metadata.name)
    },
    during: 2,
    after: async ({ kubelet }) => kubelet.play([{ afterMs: 100, status: () => crashedStatus(3) }]),
    settled: 30,
    sum: [`${usual} Failed *`],
  },
  "the eviction of a Pod": {
    before: oneReady,
    cause: async (world) => {
      const [pod] = await world.pods()
      await world.kubelet.set(pod?.metadata.name ?? "", { phase: "Failed", reason: "Evicted" })
    },
    during: 10,
    settled: 10,
    sum: [`${usual} Ready 2`],
  },
  "the loss of a Pod": { before: oneReady, cause: deletePod, during: 10, settled: 10, sum: [`${usual} Ready 2`] },
  "the loss of a Pod that starts": {
    before: async (world) => {
      world.kubelet.play([])
      await world.make()
      await world.pass(15)
    },
    cause: async (world) => {
      await deletePod(world)
      world.kubelet.play([{ afterMs: 100, status: () => crashedStatus(3) }])
    },
    during: 10,
    settled: 30,
    sum: [`${usual} Failed 2`],
  },
  "the loss of a Service": {
    before: oneReady,
    cause: async ({ cluster }) => void (await cluster.delete(serviceKind, { namespace, name: usual })),
    during: 5,
    settled: 5,
    sum: [`${usual} Ready 1`],
  },
  "making room for one that waits": {
    settings: { max_instances: 1 },
    before: async (world) => {
      await world.make(making("a"))
      await world.pass(80)
    },
    cause: async (world) => {
      await world.make(making("b"))
      await use(world, "b")
    },
    during: 15,
    after: (world) => use(world, "b"),
    settled: 20,
    sum: ["b Ready 1"],
  },
  "the queue for a place": {
    settings: { max_instances: 1, evict_idle: false },
    before: async (world) => {
      await world.make(making("a"))
      await world.pass(10)
      await world.make(making("b"))
      await use(world, "b")
      await world.pass(1)
    },
    cause: async ({ cluster }) => void (await cluster.delete(mcpInstanceKind, { namespace, name: "a" })),
    during: 10,
    after: (world) => use(world, "b"),
    settled: 20,
    sum: ["b Ready 1"],
  },
  "the end of one that waits for a place and is not waited for": {
    settings: { max_instances: 1, evict_idle: false },
    before: async (world) => {
      await world.make(making("a"))
      await world.pass(10)
    },
    cause: async (world) => {
      await world.make(making("b"))
      await world.pass(60)
    },
    during: 10,
    settled: 70,
    sum: ["a Ready 1"],
  },
  "an instance made anew under its name": {
    before: oneReady,
    cause: async (world) => {
      await world.cluster.delete(mcpInstanceKind, { namespace, name: usual })
      await world.make(making(usual))
    },
    during: 10,
    settled: 10,
    sum: [`${usual} Ready 1`],
  },
  "a sweep": { cause: makeOrphans, during: 70, settled: 70, sum: [] },
}
