import { afterEach, beforeEach, describe, expect, test } from "vitest"
import type { Intercept } from "../../src/adapters/memory/client.ts"
import { configMapKind } from "../../src/api/kinds/kubernetes.ts"
import { mcpTargetKind } from "../../src/api/kinds/mcp-target.ts"
import type { PodStatus } from "../../src/api/kinds/pod.ts"
import { labels } from "../../src/api/names.ts"
import { configSchema } from "../../src/config/schema.ts"
import { AppError } from "../../src/errors.ts"
import { type BridgePrograms, type ClusterBridge, createBridgeSupply } from "../../src/operator/bridge-supply.ts"
import { aSupply } from "../support/build/bridge.ts"
import { podStatus, waitingStatus } from "../support/build/pod.ts"
import { creating } from "../support/fake-kubelet.ts"
import { type OperatorWorld, operatorWorld } from "../support/operator-world.ts"
import { quietTelemetry } from "../support/quiet-telemetry.ts"

let world: OperatorWorld
let supply: ClusterBridge

const createSupply = (programs?: BridgePrograms): ClusterBridge => {
  const { kubernetes } = configSchema.parse({ kubernetes: { bridge: { image: "bridge:1" } } })
  return createBridgeSupply({
    ...{ cluster: world.cluster.client({ fieldManager: "test" }), clock: world.clock, log: quietTelemetry().log },
    ...{ namespace: "reflow", config: kubernetes.bridge, programs },
  })
}

beforeEach(async () => {
  world = operatorWorld()
  supply = createSupply()
  await supply.open(new AbortController().signal)
})

afterEach(() => world.close())

const makeStdio = async (name?: string, stdio: { readonly node?: string } = {}): Promise<void> => {
  await world.make({ ...(name === undefined ? {} : { name }), spec: { command: ["server"], stdio } })
  await world.touch({ inUseBy: { "gw-0": "a" } }, name)
}

/** How the bridge gets into each Pod that is not ending. */
const deliveries = async () =>
  (await world.pods())
    .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
    .map(({ metadata }) => metadata.annotations?.[labels.bridge])

/** Sets the state of the only Pod. */
const setPod = async (status: PodStatus): Promise<void> => {
  const [pod] = await world.pods()
  await world.kubelet.set(pod?.metadata.name ?? "", status)
  await world.pass(3)
}

const notMade = (message: string): PodStatus => waitingStatus("CreateContainerError", message)

/** What an old containerd says of an image volume, which is to it a mount without a source. */
const noSource = 'failed to apply OCI options: failed to mkdir "": mkdir : no such file or directory'

/** What an old runtime says that leaves the volume out. */
const noLoader = 'exec: "/reflow-bridge/bridge/loader": stat /reflow-bridge/bridge/loader: no such file or directory'

/** Refuses to create Pods that have an image volume. */
const refusing = (detail: string): Intercept => ({
  call: (call, go) =>
    call.verb === "create" && call.kind === "Pod" && supply.deliveryFor({})?.kind === "ImageVolume"
      ? Promise.reject(new AppError("ApiInvalid", { detail }))
      : go(),
})

describe("with delivery auto, where the API server serves image volumes,", () => {
  test("a node whose runtime knows none gets Pods with a copy, and so do all for an hour", async () => {
    await world.start({ bridge: supply })
    await makeStdio()
    await world.pass(1)
    expect(await deliveries()).toEqual(["ImageVolume"])
    await setPod(notMade(noSource))
    expect(await deliveries()).toEqual(["Copy"])
    expect(supply.deliveryFor({})?.kind).toBe("Copy")
    expect(await world.status()).toMatchObject({ phase: "Ready", starts: 2, bridge: "Copy" })
  })

  test("it gets image volumes again after the hour, and a Pod that runs with a copy stays", async () => {
    await world.start({ bridge: supply })
    await makeStdio()
    await world.pass(1)
    await setPod(notMade(noSource))
    await makeStdio("files-user-b")
    await world.pass(2)
    expect(await deliveries()).toEqual(["Copy", "Copy"])
    for (let minute = 0; minute < 60; minute++) {
      await world.touch({ inUseBy: { "gw-0": String(minute) } })
      await world.pass(60)
    }
    await makeStdio("files-user-c")
    await world.pass(2)
    expect((await world.status()).bridge).toBe("Copy")
    expect((await world.status()).starts).toBe(2)
    expect((await world.status("files-user-c")).bridge).toBe("ImageVolume")
  })

  test.each([
    ["waits to run", waitingStatus("RunContainerError", noLoader)],
    [
      "was not started",
      podStatus({ state: { terminated: { exitCode: 128, reason: "StartError", message: noLoader } } }),
    ],
  ] as const)("a container that %s since the bridge is not there gets a copy", async (_, status) => {
    await world.start({ bridge: supply })
    await makeStdio()
    await world.pass(1)
    await setPod(status)
    expect(await deliveries()).toEqual(["Copy"])
    expect((await world.status()).starts).toBe(2)
  })

  test("a mount of the target's own changes nothing for others", async () => {
    await world.start({ bridge: supply })
    await makeStdio()
    await world.pass(1)
    await setPod(notMade('error mounting "/var/lib/kubelet/pods/u/volumes/tmp" to rootfs at "/tmp": not a directory'))
    expect(await deliveries()).toEqual(["ImageVolume"])
    expect(supply.deliveryFor({})?.kind).toBe("ImageVolume")
  })

  test("a Pod that is refused because of its volume follows with a copy", async () => {
    await world.start({ bridge: supply }, refusing("spec.volumes[1]: Required value: must specify a volume type"))
    await makeStdio()
    await world.pass(10)
    expect(await deliveries()).toEqual(["Copy"])
  })

  test("a Pod that is refused for a reason of the target's own changes nothing for others", async () => {
    await world.start(
      { bridge: supply },
      refusing("spec.containers[0].resources.requests: must be less than the limit"),
    )
    await makeStdio()
    await world.pass(10)
    expect(await world.status()).toMatchObject({ failure: { reason: "PodInvalid" } })
    expect(supply.deliveryFor({})?.kind).toBe("ImageVolume")
  })
})

/** The kubelet's Event about a volume of the only Pod. */
const failsMount = async (volume: string): Promise<void> => {
  const [regarding] = await world.pods()
  if (regarding === undefined) throw new Error("there is no Pod")
  const note = `MountVolume.SetUp failed for volume "${volume}" : not there`
  await world.cluster.recordEvent({ regarding, type: "Warning", reason: "FailedMount", note })
}

const reasonsOfEvents = async () =>
  (await world.events())
    .filter(({ involvedObject }) => involvedObject.kind === "MCPInstance")
    .map(({ reason }) => reason)

describe("a node that only says in Events of the Pod that it cannot mount", () => {
  beforeEach(() => world.kubelet.play([{ afterMs: 50, status: creating }]))

  test("the bridge's image is asked after ten seconds, and the next Pod gets a copy", async () => {
    await world.start({ bridge: supply })
    await makeStdio()
    await world.pass(1)
    await failsMount("reflow-bridge")
    await world.pass(8)
    expect(await deliveries()).toEqual(["ImageVolume"])
    await world.pass(5)
    expect(await deliveries()).toEqual(["Copy"])
    expect((await world.status()).starts).toBe(2)
  })

  test("the bridge, where there is no other way, is told in the status and by one Event, and the Pod stays", async () => {
    const bridge = aSupply({ kind: "ImageVolume", image: "bridge:1" })
    await world.start({ bridge })
    await makeStdio()
    await world.pass(1)
    await failsMount("reflow-bridge")
    await world.pass(8)
    expect(await world.reason("Ready")).not.toBe("BridgeNotMounted")
    await world.pass(5)
    expect(await world.reason("Ready")).toBe("BridgeNotMounted")
    expect((await world.status()).starts).toBe(1)
    await world.pass(40)
    expect((await reasonsOfEvents()).filter((reason) => reason === "BridgeNotMounted")).toHaveLength(1)
    expect(await deliveries()).toEqual(["ImageVolume"])
  })

  test("another volume gets no other bridge", async () => {
    await world.start({ bridge: supply })
    await makeStdio()
    await world.pass(1)
    await failsMount("data")
    await world.pass(15)
    expect(await world.reason("Ready")).toBe("ContainerCreating")
    expect(await deliveries()).toEqual(["ImageVolume"])
  })

  test("a ConfigMap that somebody deleted has it made again, and the same Pod starts", async () => {
    const withFile = createSupply({ bridge: "// the bridge", installer: "// the installer" })
    await withFile.open(new AbortController().signal)
    await world.start({ bridge: { ...withFile, keep: async () => false } })
    await makeStdio(undefined, { node: "node" })
    await world.pass(1)
    const [file] = (await world.cluster.list(configMapKind, { namespace: "reflow" })).items
    await world.cluster.delete(configMapKind, { namespace: "reflow", name: file?.metadata.name ?? "" })
    await failsMount("reflow-bridge")
    await world.pass(15)
    const [again] = (await world.cluster.list(configMapKind, { namespace: "reflow" })).items
    expect(again).toMatchObject({ metadata: { name: file?.metadata.name }, data: file?.data })
    expect(await deliveries()).toEqual(["ConfigMap"])
    expect((await world.status()).starts).toBe(1)
    expect(withFile.deliveryFor({})?.kind).toBe("ImageVolume")
  })
})

describe("how the bridge got into a Pod", () => {
  test("is in the status with the Pod, and no more when the Pod is gone", async () => {
    await world.start({ bridge: supply })
    await makeStdio()
    await world.pass(5)
    expect(await world.status()).toMatchObject({ phase: "Ready", bridge: "ImageVolume" })
    world.kubelet.play([])
    const [pod] = await world.pods()
    await world.kubelet.set(pod?.metadata.name ?? "", { phase: "Failed", reason: "Evicted", message: "" })
    await world.pass(1)
    expect(await world.status()).toMatchObject({ starts: 2 })
    expect(await world.status()).not.toHaveProperty("bridge")
  })

  test("is in no status of a server that speaks HTTP", async () => {
    await world.start({ bridge: supply })
    await world.make()
    await world.pass(5)
    expect((await world.status()).phase).toBe("Ready")
    expect(await world.status()).not.toHaveProperty("bridge")
  })
})

describe("while no bridge can get to stdio servers", () => {
  const reasonOf = async () => {
    const target = await world.cluster.get(mcpTargetKind, { namespace: "reflow", name: "files" })
    return target?.status?.conditions?.find(({ type }) => type === "Accepted")?.reason
  }

  /** A supply that finds a way when `find` is called, and says so when it is asked next. */
  const laterSupply = () => {
    let isFound = false
    let isNews = false
    const bridge = aSupply(undefined, {
      deliveryFor: () => (isFound ? { kind: "ImageVolume", image: "bridge:1" } : undefined),
      keep: async () => {
        const news = isNews
        isNews = false
        return news
      },
    })
    const find = () => {
      isFound = true
      isNews = true
    }
    return { bridge, find }
  }

  test("a target is refused, and taken within a minute of a way", async () => {
    const { bridge, find } = laterSupply()
    await world.start({ bridge })
    await world.makeTarget({ spec: { command: ["server"], stdio: {} } })
    await world.pass(70)
    expect(await reasonOf()).toBe("InvalidSpec")
    find()
    await world.pass(62)
    expect(await reasonOf()).toBe("Accepted")
  })

  test("an instance is refused without a Pod, and starts within a minute of a way", async () => {
    const { bridge, find } = laterSupply()
    await world.start({ bridge })
    await makeStdio()
    await world.pass(10)
    expect(await world.status()).toMatchObject({ phase: "Failed", failure: { reason: "InvalidSpec" } })
    expect(await world.pods()).toEqual([])
    find()
    await world.pass(62)
    expect((await world.status()).phase).toBe("Ready")
  })
})
