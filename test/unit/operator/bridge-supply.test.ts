import { describe, expect, onTestFinished, test, vi } from "vitest"
import { createMemoryCluster } from "../../../src/adapters/memory/cluster.ts"
import { type ConfigMap, configMapKind } from "../../../src/api/kinds/kubernetes.ts"
import { podKind } from "../../../src/api/kinds/pod.ts"
import { configSchema } from "../../../src/config/schema.ts"
import { AppError } from "../../../src/errors.ts"
import { bridgeConfigMapName, createBridgeSupply } from "../../../src/operator/bridge-supply.ts"
import type { ClusterPort } from "../../../src/ports/cluster.ts"
import { fakeClock } from "../../support/fake-clock.ts"
import { quietTelemetry } from "../../support/quiet-telemetry.ts"

const namespace = "reflow"
const program = "// the bridge"
const installer = "// the installer"
const programs = { bridge: program, installer }
const name = bridgeConfigMapName(programs)
const image = "registry.example/reflow:1"
const noSignal = new AbortController().signal

const setUp = (given: object = { image }, change: (cluster: ClusterPort) => Partial<ClusterPort> = () => ({})) => {
  const clock = fakeClock()
  const telemetry = quietTelemetry()
  const memory = createMemoryCluster({ clock, telemetry })
  const own = memory.client({ fieldManager: "test" })
  const cluster = { ...own, ...change(own) }
  const config = configSchema.parse({ kubernetes: { bridge: given } }).kubernetes.bridge
  const supply = createBridgeSupply({ cluster, clock, log: telemetry.log, namespace, config, programs })
  const read = () => own.get(configMapKind, { namespace, name })
  const warnings = () => telemetry.lines.filter(({ level }) => level === "warn").map(({ message }) => message)
  return { clock, own, supply, read, warnings }
}

/** A ConfigMap under the bridge's name, as another operator makes it. */
const aFile = (content = program, immutable = true): ConfigMap => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { namespace, name },
  immutable,
  data: { "bridge.mjs": content, "install.mjs": installer },
})

const refuses = (code: "ApiInvalid" | "ApiForbidden"): Partial<ClusterPort> => ({
  create: async () => {
    throw new AppError(code, { detail: "refused" })
  },
})

describe("the ConfigMap of the bridge", () => {
  test("is created with the program, immutable, and serves images that name a Node", async () => {
    const { supply, read } = setUp()
    await supply.open(noSignal)
    expect(await read()).toMatchObject({
      immutable: true,
      data: { "bridge.mjs": program, "install.mjs": installer },
    })
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
    await own.create(configMapKind, aFile("evil"))
    await supply.open(noSignal)
    expect(supply.deliveryFor({ node: "node" })).toEqual({ kind: "ImageVolume", image })
  })

  test("of the same content that can be changed is never used", async () => {
    const { own, supply } = setUp()
    await own.create(configMapKind, aFile(program, false))
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

  test.each([
    ["the same content is used", program, { kind: "ConfigMap", name }],
    ["another content is not used", "evil", { kind: "ImageVolume", image }],
  ])("that another operator makes at the same moment with %s", async (_, content, delivery) => {
    let reads = 0
    const { own, supply } = setUp({ image }, (cluster) => ({
      get: async (kind, ref, options) => (reads++ === 0 ? undefined : cluster.get(kind, ref, options)),
    }))
    await own.create(configMapKind, aFile(content))
    await supply.open(noSignal)
    expect(reads).toBe(2)
    expect(supply.deliveryFor({ node: "node" })).toEqual(delivery)
  })

  test("is made again when a Pod could not mount it, which says nothing about image volumes", async () => {
    const { own, supply, read } = setUp()
    await supply.open(noSignal)
    await own.delete(configMapKind, { namespace, name })
    await supply.repair("ConfigMap")
    expect(await read()).toMatchObject({
      immutable: true,
      data: { "bridge.mjs": program, "install.mjs": installer },
    })
    expect(supply.deliveryFor({})).toEqual({ kind: "ImageVolume", image })
  })

  test("that was made for a Pod is told next, so that targets which were refused for its lack are taken", async () => {
    let isDown = true
    const { supply } = setUp({}, (cluster) => ({
      get: (kind, ref, options) =>
        isDown ? Promise.reject(new AppError("ClusterUnavailable", { detail: "" })) : cluster.get(kind, ref, options),
    }))
    await supply.open(noSignal)
    expect(supply.deliveryFor({ node: "node" })).toBeUndefined()
    isDown = false
    await supply.repair("ConfigMap")
    expect(supply.deliveryFor({ node: "node" })).toEqual({ kind: "ConfigMap", name })
    expect(await supply.keep(noSignal)).toBe(true)
    expect(await supply.keep(noSignal)).toBe(false)
  })

  test("is no news if it was there from the beginning", async () => {
    const { supply } = setUp()
    await supply.open(noSignal)
    expect(await supply.keep(noSignal)).toBe(false)
  })

  test("is not made again when a Pod could not mount an image", async () => {
    const { own, supply, read } = setUp()
    await supply.open(noSignal)
    await own.delete(configMapKind, { namespace, name })
    await supply.repair("ImageVolume")
    expect(await read()).toBeUndefined()
  })

  test("stays in use while the API server does not answer, and no more once another content is there", async () => {
    let isDown = false
    const { own, supply } = setUp({ image }, (cluster) => ({
      get: (kind, ref, options) =>
        isDown ? Promise.reject(new AppError("ClusterUnavailable", { detail: "" })) : cluster.get(kind, ref, options),
    }))
    await supply.open(noSignal)
    isDown = true
    expect(await supply.keep(noSignal)).toBe(false)
    expect(supply.deliveryFor({ node: "node" })).toEqual({ kind: "ConfigMap", name })
    isDown = false
    await own.delete(configMapKind, { namespace, name })
    await own.create(configMapKind, aFile("evil"))
    expect(await supply.keep(noSignal)).toBe(true)
    expect(supply.deliveryFor({ node: "node" })).toEqual({ kind: "ImageVolume", image })
  })

  test("has another name for another program", () => {
    expect(bridgeConfigMapName({ ...programs, bridge: "// another" })).not.toBe(name)
    expect(bridgeConfigMapName({ ...programs, installer: "// another" })).not.toBe(name)
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

/** The Pods that were only tried, each as it was sent. */
const recordTrials = () => {
  const trials: unknown[] = []
  const change = (cluster: ClusterPort): Partial<ClusterPort> => ({
    create: (kind, object, options) => {
      if (options?.dryRun === true) trials.push(object)
      return cluster.create(kind, object, options)
    },
  })
  return { trials, change }
}

describe("the question whether image volumes are served", () => {
  test.each([
    ["auto", image, 1],
    ["copy", image, 0],
    ["image_volume", image, 0],
    ["auto", "", 0],
  ])("with delivery %s and the image '%s' is asked %i times, as long as it runs", async (delivery, given, times) => {
    const { trials, change } = recordTrials()
    const { supply } = setUp({ image: given, delivery }, change)
    await supply.open(noSignal)
    for (let turn = 0; turn < 3; turn++) await supply.keep(noSignal)
    expect(trials).toHaveLength(times)
  })

  test("is asked with a Pod that a namespace of the standard restricted takes, and creates none", async () => {
    const { trials, change } = recordTrials()
    const { own, supply } = setUp({ image }, change)
    await supply.open(noSignal)
    expect(trials).toMatchObject([
      {
        metadata: { namespace },
        spec: {
          automountServiceAccountToken: false,
          securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
          containers: [
            { securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } }, resources: {} },
          ],
          volumes: [{ name: "reflow-bridge", image: { reference: image } }],
        },
      },
    ])
    expect((await own.list(podKind, { namespace })).items).toEqual([])
  })

  test("does not hold the start longer than its limit, if the API server never answers", async () => {
    const limit = new AbortController()
    const timeout = vi.spyOn(AbortSignal, "timeout").mockReturnValue(limit.signal)
    onTestFinished(() => timeout.mockRestore())
    const never = (signal: AbortSignal | undefined) =>
      new Promise<never>((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)))
    const { supply } = setUp({ image }, () => ({
      get: (_kind, _ref, options) => never(options?.signal),
      create: (_kind, _object, options) => never(options?.signal),
    }))
    const opened = supply.open(noSignal)
    expect(timeout).toHaveBeenCalledWith(10_000)
    limit.abort(new DOMException("", "TimeoutError"))
    await opened
    expect(supply.deliveryFor({})).toEqual({ kind: "ImageVolume", image })
  })
})

describe("trouble with the API server", () => {
  const forbidden = () => Promise.reject(new AppError("ApiForbidden", { detail: "" }))

  test("is told once each, however often it comes back", async () => {
    const { supply, warnings } = setUp({ image }, () => ({ get: forbidden, create: forbidden }))
    await supply.open(noSignal)
    for (let turn = 0; turn < 3; turn++) await supply.keep(noSignal)
    expect(warnings().toSorted()).toEqual([
      "the ConfigMap of the bridge could not be read or created",
      "whether image volumes are served could not be found out",
    ])
  })

  test("a foreign ConfigMap is told once", async () => {
    const { own, supply, warnings } = setUp()
    await own.create(configMapKind, aFile("evil"))
    await supply.open(noSignal)
    await supply.keep(noSignal)
    expect(warnings()).toEqual(["a foreign ConfigMap has the name of the bridge's"])
  })

  test("is not told at the end of the program, which ends what it asks", async () => {
    const { supply, warnings } = setUp({ image }, () => ({ get: forbidden, create: forbidden }))
    await supply.open(AbortSignal.abort())
    await supply.keep(AbortSignal.abort())
    expect(warnings()).toEqual([])
  })
})
