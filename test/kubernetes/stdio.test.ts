/**
 * Servers that speak stdin and stdout, in Pods under the Pod Security Standard `restricted`: the bridge comes by ConfigMap,
 * as an image volume, or as a copy.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { findCondition } from "../../src/api/kinds/kind.ts"
import { answerOf, callTool, toolText } from "../support/modern.ts"
import { cluster, kubectl, kubectlJson, waitFor } from "./support/cluster.ts"
import { ensureImages } from "./support/images.ts"
import {
  bridge,
  instancesOf,
  makeTarget,
  type Place,
  type Server,
  secretOf,
  setCredential,
  startOperator,
  startPlace,
  users,
} from "./support/stdio-place.ts"
import { registerWebhooks } from "./support/webhook.ts"

/** Calls a target as each user; says how the bridge got into each Pod. */
const serveBoth = async (place: Place, target: string, server: Server): Promise<readonly unknown[]> => {
  await makeTarget(place, target, server)
  await Promise.all(users.map((user) => setCredential(place, target, user)))
  const said = await Promise.all(users.map((user) => toolText(`${place.url}/mcp/${target}`, secretOf[user], "whoami")))
  for (const [index, user] of users.entries())
    expect(said[index]).toMatch(new RegExp(`^pid \\d+ token canary-of-${user}$`))
  const all = instancesOf(place, target)
  expect(new Set(all.map(({ status }) => status?.podName)).size).toBe(2)
  return all.map(({ status }) => status?.bridge)
}

/** What becomes of a target's only instance whose start fails. */
const failureOf = async (place: Place, target: string, server: Server) => {
  await makeTarget(place, target, server)
  const call = callTool(`${place.url}/mcp/${target}`, secretOf.alice, "whoami").then((response) => answerOf(response))
  const find = () => {
    const [instance] = instancesOf(place, target)
    return instance?.status?.phase === "Failed" ? findCondition(instance.status.conditions, "Ready") : undefined
  }
  const ready = await waitFor(place.seen, find, 40_000, `${target} failed`)
  return { ready, heard: (await call).error }
}

let place: Place

beforeAll(async () => {
  await ensureImages(["gateway", "stdio", "bare"], cluster)
  place = await startPlace("stdio", { ...bridge, "kubernetes.gc_interval": "10s" })
}, 400_000)

describe("two users are served, each by a process of their own with their own credential,", () => {
  test("from an image that has a Node: the bridge is a file in a ConfigMap", async () => {
    expect(await serveBoth(place, "by-file", "onNode")).toEqual(["ConfigMap", "ConfigMap"])
  })

  test("from an image without libc: the bridge is an image volume", async () => {
    expect(await serveBoth(place, "by-volume", "bare")).toEqual(["ImageVolume", "ImageVolume"])
  })
})

describe("the ConfigMap with the bridge", () => {
  const find = async (): Promise<readonly string[]> => {
    const list = (await kubectlJson(["get", "configmap", "-n", place.instances])) as {
      items: readonly { metadata: { name: string }; immutable?: boolean }[]
    }
    return list.items.filter(({ immutable }) => immutable === true).map(({ metadata }) => metadata.name)
  }

  test("cannot be changed, has a digest in its name, and comes back if somebody deletes it", async () => {
    const [name = ""] = await find()
    expect(name).toMatch(/^reflow-bridge-[a-z2-7]{10}$/)
    const change = kubectl(["patch", "configmap", name, "-n", place.instances, "-p", '{"data":{"bridge.mjs":""}}'])
    await expect(change).rejects.toThrow(/immutable/)
    await kubectl(["delete", "configmap", name, "-n", place.instances])
    await kubectl(["wait", "--for=create", `configmap/${name}`, "-n", place.instances, "--timeout=60s"])
    expect(await find()).toEqual([name])
  }, 120_000)
})

test("an operator with another image of the bridge replaces no Pod", async () => {
  const before = instancesOf(place, "by-volume").map(({ status }) => status?.incarnation)
  place.operator.process.kill("SIGTERM")
  await place.operator.ended
  const operator = await startOperator(place, { "kubernetes.bridge.image": "ghcr.io/reflow/reflow-gateway:9.9.9" })
  expect(await toolText(`${place.url}/mcp/by-volume`, secretOf.alice, "whoami")).toContain("canary-of-alice")
  expect(instancesOf(place, "by-volume").map(({ status }) => status?.incarnation)).toEqual(before)
  const { ready, heard } = await failureOf(place, "unpulled", "bare")
  expect(ready).toMatchObject({ reason: "BridgeImagePull" })
  expect(ready.message).toContain("kubernetes.bridge.image")
  expect(heard.data).toMatchObject({ code: "InstanceFailed", reason: "BridgeImagePull" })
  operator.process.kill("SIGTERM")
  await operator.ended
}, 120_000)

describe("where image volumes are not served", () => {
  let without: Place
  let unregister = async (): Promise<void> => {}
  afterAll(() => unregister())

  beforeAll(async () => {
    // what an API server without the feature does: it drops the source of the volume without a word
    const dropped = [{ op: "add", path: "/spec/volumes", value: [{ name: "reflow-bridge", emptyDir: {} }] }] as const
    without = await startPlace("stdio-copy", bridge, async (namespace) => {
      unregister = await registerWebhooks(namespace, { "reflow-bridge-trial": dropped })
    })
  }, 200_000)

  test("the bridge is copied into each Pod, also before a server without libc", async () => {
    expect(await serveBoth(without, "copied", "bare")).toEqual(["Copy", "Copy"])
  }, 120_000)

  test("an image that has a Node gets the file", async () => {
    expect(await serveBoth(without, "filed", "onNode")).toEqual(["ConfigMap", "ConfigMap"])
  })
})
