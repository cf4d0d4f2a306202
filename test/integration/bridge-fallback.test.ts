import { afterEach, beforeEach, describe, expect, test } from "vitest"
import type { Intercept } from "../../src/adapters/memory/client.ts"
import { labels } from "../../src/api/names.ts"
import { configSchema } from "../../src/config/schema.ts"
import { AppError } from "../../src/errors.ts"
import { type ClusterBridge, createBridgeSupply } from "../../src/operator/bridge-supply.ts"
import { waitingStatus } from "../support/build/pod.ts"
import { type OperatorWorld, operatorWorld } from "../support/operator-world.ts"
import { quietTelemetry } from "../support/quiet-telemetry.ts"

let world: OperatorWorld
let supply: ClusterBridge

beforeEach(async () => {
  world = operatorWorld()
  const { kubernetes } = configSchema.parse({ kubernetes: { bridge: { image: "bridge:1" } } })
  supply = createBridgeSupply({
    ...{ cluster: world.cluster.client({ fieldManager: "test" }), clock: world.clock, log: quietTelemetry().log },
    ...{ namespace: "reflow", config: kubernetes.bridge, program: undefined },
  })
  await supply.open(new AbortController().signal)
})

afterEach(() => world.close())

const makeStdio = async (): Promise<void> => {
  await world.make({ spec: { command: ["server"], stdio: {} } })
  await world.touch({ inUseBy: { "gw-0": "a" } })
}

/** How the bridge gets into each Pod that is not ending. */
const deliveries = async () =>
  (await world.pods())
    .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
    .map(({ metadata }) => metadata.annotations?.[labels.bridge])

/** Sets the state of the only Pod. */
const setPod = async (message: string): Promise<void> => {
  const [pod] = await world.pods()
  await world.kubelet.set(pod?.metadata.name ?? "", waitingStatus("CreateContainerError", message))
  await world.pass(3)
}

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
    await setPod('failed to apply OCI options: failed to mkdir "": mkdir : no such file or directory')
    expect(await deliveries()).toEqual(["Copy"])
    expect(supply.deliveryFor({})?.kind).toBe("Copy")
  })

  test("a mount of the target's own changes nothing for others", async () => {
    await world.start({ bridge: supply })
    await makeStdio()
    await world.pass(1)
    await setPod('error mounting "/var/lib/kubelet/pods/u/volumes/tmp" to rootfs at "/tmp": not a directory')
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
