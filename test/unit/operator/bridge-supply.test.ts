import { describe, expect, test } from "vitest"
import { createMemoryCluster } from "../../../src/adapters/memory/cluster.ts"
import { configMapKind } from "../../../src/api/kinds/kubernetes.ts"
import { configSchema } from "../../../src/config/schema.ts"
import { AppError } from "../../../src/errors.ts"
import { bridgeConfigMapName, createBridgeSupply } from "../../../src/operator/bridge-supply.ts"
import type { ClusterPort } from "../../../src/ports/cluster.ts"
import { fakeClock } from "../../support/fake-clock.ts"
import { quietTelemetry } from "../../support/quiet-telemetry.ts"

const namespace = "reflow"
const program = "// the bridge"
const name = bridgeConfigMapName(program)
const image = "registry.example/reflow:1"
const noSignal = new AbortController().signal

const setUp = (given: object = { image }, change: (cluster: ClusterPort) => Partial<ClusterPort> = () => ({})) => {
  const clock = fakeClock()
  const telemetry = quietTelemetry()
  const memory = createMemoryCluster({ clock, telemetry })
  const own = memory.client({ fieldManager: "test" })
  const cluster = { ...own, ...change(own) }
  const config = configSchema.parse({ kubernetes: { bridge: given } }).kubernetes.bridge
  const supply = createBridgeSupply({ cluster, clock, log: telemetry.log, namespace, config, program })
  const read = () => own.get(configMapKind, { namespace, name })
  return { clock, own, supply, read }
}

const refuses = (code: "ApiInvalid" | "ApiForbidden"): Partial<ClusterPort> => ({
  create: async () => {
    throw new AppError(code, { detail: "refused" })
  },
})

describe("the ConfigMap of the bridge", () => {
  test("is created with the program, immutable, and serves images that name a Node", async () => {
    const { supply, read } = setUp()
    await supply.open(noSignal)
    expect(await read()).toMatchObject({ immutable: true, data: { "bridge.mjs": program } })
    expect(supply.deliveryFor({ node: "node" })).toEqual({ kind: "ConfigMap", name })
  })

  test("is created again after somebody deleted it", async () => {
    const { own, supply, read } = setUp()
    await supply.open(noSignal)
    await own.delete(configMapKind, { namespace, name })
    await supply.keep(noSignal)
    expect(await read()).toMatchObject({ data: { "bridge.mjs": program } })
  })

  test("of another content under its name is never used", async () => {
    const { own, supply } = setUp()
    const foreign = {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { namespace, name },
      data: { "bridge.mjs": "evil" },
    }
    await own.create(configMapKind, foreign)
    await supply.open(noSignal)
    expect(supply.deliveryFor({ node: "node" })).toEqual({ kind: "ImageVolume", image })
  })

  test("of the same content that can be changed is never used", async () => {
    const { own, supply } = setUp()
    const data = { "bridge.mjs": program }
    await own.create(configMapKind, { apiVersion: "v1", kind: "ConfigMap", metadata: { namespace, name }, data })
    await supply.open(noSignal)
    expect(supply.deliveryFor({ node: "node" })).toEqual({ kind: "ImageVolume", image })
  })

  test("that could not be made at the start is made later, and that changes how Pods get the bridge", async () => {
    let isDown = true
    const { supply } = setUp({ image }, (cluster) => ({
      get: (kind, ref, options) =>
        isDown ? Promise.reject(new AppError("ApiForbidden", { detail: "" })) : cluster.get(kind, ref, options),
    }))
    await supply.open(noSignal)
    expect(supply.deliveryFor({ node: "node" })).toEqual({ kind: "ImageVolume", image })
    expect(await supply.keep(noSignal)).toBe(false)
    isDown = false
    expect(await supply.keep(noSignal)).toBe(true)
    expect(supply.deliveryFor({ node: "node" })).toEqual({ kind: "ConfigMap", name })
  })

  test("has another name for another program", () => {
    expect(bridgeConfigMapName("// another")).not.toBe(name)
  })
})

describe("an image without a Node", () => {
  test("cannot be served while no image of the bridge is configured", async () => {
    const { supply } = setUp({})
    await supply.open(noSignal)
    expect(supply.deliveryFor({})).toBeUndefined()
  })

  test("gets an image volume where the API server keeps it", async () => {
    const { supply } = setUp()
    await supply.open(noSignal)
    expect(supply.deliveryFor({})).toEqual({ kind: "ImageVolume", image })
  })

  test.each([
    [
      "drops its source without a word",
      (cluster: ClusterPort): Partial<ClusterPort> => ({
        create: async (kind, object, options) => {
          const made = await cluster.create(kind, object, options)
          return options?.dryRun === true ? { ...made, spec: { volumes: [{ name: "reflow-bridge" }] } } : made
        },
      }),
    ],
    ["refuses it as invalid", () => refuses("ApiInvalid")],
  ] as const)("gets a copy where the API server %s", async (_, change) => {
    const { supply } = setUp({ image }, change)
    await supply.open(noSignal)
    expect(supply.deliveryFor({})).toEqual({ kind: "Copy", image })
  })

  test("gets an image volume where the question could not be answered: a Pod will tell", async () => {
    const { supply } = setUp({ image }, () => refuses("ApiForbidden"))
    await supply.open(noSignal)
    expect(supply.deliveryFor({})).toEqual({ kind: "ImageVolume", image })
  })

  test("gets a copy as soon as the question that could not be answered at the start is", async () => {
    let isRefused = true
    const { supply } = setUp({ image }, (cluster) => ({
      create: async (kind, object, options) => {
        if (options?.dryRun === true) throw new AppError(isRefused ? "ApiForbidden" : "ApiInvalid", { detail: "" })
        return cluster.create(kind, object, options)
      },
    }))
    await supply.open(noSignal)
    isRefused = false
    expect(await supply.keep(noSignal)).toBe(true)
    expect(supply.deliveryFor({})).toEqual({ kind: "Copy", image })
  })

  test("gets a copy for an hour after a Pod did not get its volume, and then a volume again", async () => {
    const { clock, supply } = setUp()
    await supply.open(noSignal)
    await supply.repair("ImageVolume")
    expect(supply.deliveryFor({})).toEqual({ kind: "Copy", image })
    await clock.advance(3_599_999)
    expect(supply.deliveryFor({})).toEqual({ kind: "Copy", image })
    await clock.advance(1)
    expect(supply.deliveryFor({})).toEqual({ kind: "ImageVolume", image })
  })

  test("gets an image volume again too if the clock was set back meanwhile", async () => {
    const { clock, supply } = setUp()
    await supply.open(noSignal)
    await supply.repair("ImageVolume")
    clock.skew(-86_400_000)
    expect(supply.deliveryFor({})).toEqual({ kind: "ImageVolume", image })
  })

  test.each([
    ["image_volume", "ImageVolume"],
    ["copy", "Copy"],
  ] as const)("gets what kubernetes.bridge.delivery names: %s", async (delivery, kind) => {
    const { supply } = setUp({ image, delivery })
    await supply.open(noSignal)
    await supply.repair("ImageVolume")
    expect(supply.deliveryFor({})).toEqual({ kind, image })
  })
})
