/** Images as users bring them, under the operator's defaults: each starts, or says what to change and then starts. */
import { beforeAll, describe, expect, test } from "vitest"
import { findCondition, isTrue } from "../../src/api/kinds/kind.ts"
import { type MCPInstance, mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import type { Reflection } from "../../src/ports/cluster.ts"
import { cluster, kubectl, kubectlJson, openCluster, waitFor } from "./support/cluster.ts"
import { ensureImages, type ImageName, images } from "./support/images.ts"
import { makeInstallation, startRole } from "./support/role.ts"

type Fields = Readonly<Record<string, unknown>>

/** A namespace with an operator. */
type Place = { readonly namespace: string; readonly instances: Reflection<MCPInstance> }

const startOperator = async (set: Readonly<Record<string, string>> = {}): Promise<Place> => {
  const { instances: namespace, kubeconfig } = await makeInstallation("images")
  const operator = startRole("operator", { kubeconfig: await kubeconfig("operator"), namespace, set, until: "file" })
  const instances = openCluster("test").watch(mcpInstanceKind, { namespace })
  await Promise.all([instances.synced, operator.line("leading")])
  return { namespace, instances }
}

const create = async (namespace: string, kind: string, name: string, spec: Fields): Promise<Fields> => {
  const object = { apiVersion: "mcp.reflow.io/v1alpha1", kind, metadata: { name, namespace }, spec }
  await kubectl(["create", "-f", "-"], { input: JSON.stringify(object) })
  return ((await kubectlJson(["get", kind, name, "-n", namespace])) as { metadata: Fields }).metadata
}

/** Makes an instance of an image, as a person does by hand. */
const start = (place: Place, image: ImageName, spec: Fields = {}): Promise<unknown> =>
  create(place.namespace, "MCPInstance", image.toLowerCase(), {
    image: images[image].name,
    port: 8080,
    targetName: "brought",
    subjectKey: `user:${image}`,
    ...spec,
  })

/** Makes a target and an instance that follows it, as a gateway does; resolves with the moment before the instance. */
const startFollowing = async (place: Place, image: ImageName, spec: Fields = {}): Promise<number> => {
  const name = image.toLowerCase()
  const { uid, generation } = await create(place.namespace, "MCPTarget", name, {
    image: images[image].name,
    port: 8080,
    ...spec,
  })
  const begin = performance.now()
  await start(place, image, { ...spec, targetName: name, targetUID: uid, targetGeneration: generation })
  return begin
}

const correct = (place: Place, image: ImageName, spec: Fields): Promise<string> =>
  kubectl([
    ...["patch", "mcpt", image.toLowerCase(), "-n", place.namespace],
    ...["--type=merge", "-p", JSON.stringify({ spec })],
  ])

const isReady = async ({ instances }: Place, image: ImageName, ms = 60_000): Promise<MCPInstance> => {
  const found = (all: Reflection<MCPInstance>) => {
    const instance = all.get(image.toLowerCase())
    return isTrue(instance?.status?.conditions, "Ready") ? instance : undefined
  }
  return waitFor(instances, found, ms, `${image} is Ready`)
}

/** Resolves with what people read, and how many milliseconds after `begin`, once the start counts as failed. */
const failure = async ({ instances }: Place, image: ImageName, begin: number) => {
  const found = (all: Reflection<MCPInstance>) => {
    const { status } = all.get(image.toLowerCase()) ?? {}
    return status?.phase === "Failed" ? findCondition(status.conditions, "Ready") : undefined
  }
  const ready = await waitFor(instances, found, 30_000, `${image} failed`)
  return { reason: ready.reason, message: ready.message, afterMs: performance.now() - begin }
}

/** When the server of an instance began to run, in milliseconds since the epoch; the kubelet tells whole seconds. */
const serverStart = async ({ namespace, instances }: Place, image: ImageName): Promise<number> => {
  const { podName = "" } = instances.get(image.toLowerCase())?.status ?? {}
  const path = "jsonpath={.status.containerStatuses[0].state.running.startedAt}"
  return Date.parse(await kubectl(["get", "pod", podName, "-n", namespace, "-o", path]))
}

/** What the server said of itself when it began. */
const greeting = async ({ namespace }: Place, instance: MCPInstance): Promise<Fields> => {
  const log = await kubectl(["logs", instance.status?.podName ?? "", "-n", namespace])
  return JSON.parse(log.split("\n")[0] ?? "")
}

let place: Place
beforeAll(async () => {
  await ensureImages(["root", "named", "notFound", "port80", "slow", "home"], cluster)
  place = await startOperator()
}, 600_000)

describe.concurrent("with the defaults", () => {
  test("an image that takes 40 s to start is waited for", async () => {
    await start(place, "slow")
    const { status } = await isReady(place, "slow", 110_000)
    expect(status).toMatchObject({ restarts: 0, starts: 1 })
    const [began, ready] = [status?.startTime, status?.readyTime].map((time) => Date.parse(time ?? ""))
    expect((ready ?? 0) - (began ?? 0)).toBeGreaterThanOrEqual(39_000)
  })

  test("an image that runs as root runs as 65532", async () => {
    await start(place, "root")
    expect(await greeting(place, await isReady(place, "root"))).toMatchObject({ uid: 65532 })
  })

  test("an image with a named user runs as 65532", async () => {
    await start(place, "named")
    expect(await greeting(place, await isReady(place, "named"))).toMatchObject({ uid: 65532 })
  })

  test("a server that listens on port 80 may", async () => {
    await start(place, "port80", { port: 80 })
    expect((await isReady(place, "port80")).status?.url).toMatch(/:80\/mcp$/)
  })

  test("a server that writes into its home finds one, though the image's own files cannot be written", async () => {
    await start(place, "home")
    expect(await greeting(place, await isReady(place, "home"))).toMatchObject({ home: "/tmp" })
  })

  test("a server that answers 404 at healthPath is told so within 15 s of its start, and starts once the target corrects it", async () => {
    const begin = await startFollowing(place, "notFound", { healthPath: "/" })
    const { reason, message } = await failure(place, "notFound", begin)
    const afterMs = Date.now() - (await serverStart(place, "notFound"))
    expect(reason).toBe("HealthPathNotFound")
    expect(message).toBe("The server answers 404 at /: correct healthPath, or leave it out for a TCP check.")
    expect(afterMs).toBeLessThan(15_000)
    await correct(place, "notFound", { healthPath: null })
    await isReady(place, "notFound")
  })
})

describe("where the platform chooses the user", () => {
  let free: Place
  beforeAll(async () => {
    free = await startOperator({ "kubernetes.run_as_user": "" })
  })

  test.each(["named", "root"] as const)(
    "a %s user is refused within 15 s, and the image starts once the target says a number",
    async (image) => {
      const begin = await startFollowing(free, image)
      const { reason, message, afterMs } = await failure(free, image, begin)
      expect(reason).toBe("ImageUserNotAllowed")
      expect(message).toContain("set security.runAsUser to a numeric id other than 0")
      expect(afterMs).toBeLessThan(15_000)
      await correct(free, image, { security: { runAsUser: 1000 } })
      expect(await greeting(free, await isReady(free, image))).toMatchObject({ uid: 1000 })
    },
  )
})
