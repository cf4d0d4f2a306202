import { describe, expect, test } from "vitest"
import type { Event } from "../../../src/api/kinds/kubernetes.ts"
import type { PodStatus } from "../../../src/api/kinds/pod.ts"
import { mountCheckFrom, mountFinding } from "../../../src/operator/bridge-state.ts"
import { aStdioInstance, aStdioPod } from "../../support/build/bridge.ts"
import { msAfter } from "../../support/build/metadata.ts"
import { startingStatus, waitingStatus } from "../../support/build/pod.ts"
import { aSnapshot } from "../../support/build/snapshot.ts"

const standing = (pod: ReturnType<typeof aStdioPod>, seconds = 60, sight = {}) =>
  aSnapshot({ instance: aStdioInstance, pod, now: msAfter(seconds), sight: { signAt: msAfter(0), ...sight } }).standing

const copying: PodStatus = {
  ...waitingStatus("PodInitializing"),
  initContainerStatuses: [
    {
      name: "reflow-bridge",
      ready: false,
      restartCount: 0,
      state: { waiting: { reason: "ImagePullBackOff", message: 'Back-off pulling image "bridge:1"' } },
    },
  ],
}

describe("a bridge's image that cannot be pulled is not told as the server's fault:", () => {
  test("as an image volume", () => {
    const pod = aStdioPod(waitingStatus("ImagePullBackOff", 'Back-off pulling image "bridge:1": not found'))
    expect(standing(pod)).toMatchObject({ reason: "BridgeImagePull", failed: {} })
    expect(standing(pod).message).toContain("kubernetes.bridge.image")
  })

  test("as the image of the init container that copies it", () => {
    expect(standing(aStdioPod(copying, { kind: "Copy", image: "bridge:1" }))).toMatchObject({
      reason: "BridgeImagePull",
    })
  })

  test("but the server's own image is the server's", () => {
    const message = `Back-off pulling image "${aStdioInstance.spec.image}": not found`
    expect(standing(aStdioPod(waitingStatus("ImagePullBackOff", message)))).toMatchObject({ reason: "ErrImagePull" })
  })

  test("and it may heal for ten seconds", () => {
    const pod = aStdioPod(waitingStatus("ErrImagePull", 'failed to pull "bridge:1"'))
    expect(standing(pod, 9)).toMatchObject({ reason: "BridgeImagePull" })
    expect(standing(pod, 9).failed).toBeUndefined()
  })
})

describe("a volume that is not there", () => {
  test("is told when the container cannot be made for it", () => {
    const pod = aStdioPod(waitingStatus("CreateContainerError", 'failed to generate spec: failed to stat ""'))
    expect(standing(pod)).toMatchObject({ reason: "BridgeNotMounted", failed: {} })
  })

  test("is not told of a Pod that has none", () => {
    const pod = aStdioPod(waitingStatus("CreateContainerError", "failed to mount"), { kind: "Copy", image: "bridge:1" })
    expect(standing(pod)).toMatchObject({ reason: "CreateContainerError" })
  })

  test("is asked for in the Pod's Events, ten seconds after its node has taken it", () => {
    const creating = waitingStatus("ContainerCreating")
    expect(mountCheckFrom(aStdioPod(creating))).toBe(msAfter(10))
    expect(mountCheckFrom(aStdioPod(creating, { kind: "Copy", image: "bridge:1" }))).toBeUndefined()
    expect(mountCheckFrom(aStdioPod(waitingStatus("PodInitializing")))).toBeUndefined()
  })

  const event = (reason: string, message: string): Event => ({
    apiVersion: "v1",
    kind: "Event",
    metadata: { name: "e" },
    involvedObject: {},
    reason,
    message,
  })

  test("is found in an Event about the bridge's volume, and in no other", () => {
    const failed = event("FailedMount", 'MountVolume.SetUp failed for volume "reflow-bridge" : not supported')
    expect(mountFinding([failed])).toMatchObject({ reason: "BridgeNotMounted" })
    expect(mountFinding([event("FailedMount", 'volume "data" : timed out')])).toBeUndefined()
    expect(mountFinding([event("Pulling", "reflow-bridge")])).toBeUndefined()
    // an old kubelet lists all volumes of the Pod in the Event about another one
    const other = "timed out waiting for volumes to attach or mount: unattached volumes=[data reflow-bridge]"
    expect(mountFinding([event("FailedMount", other)])).toBeUndefined()
  })

  test("does not hide what a container does that runs by now", () => {
    const probe = { reason: "BridgeNotMounted", message: "" } as const
    expect(standing(aStdioPod(startingStatus()), 20, { probe })).not.toMatchObject({ reason: "BridgeNotMounted" })
  })

  test("shows while the node tries again", () => {
    const probe = { reason: "BridgeNotMounted", message: 'configmap "reflow-bridge-x" not found' } as const
    const pod = aStdioPod(waitingStatus("ContainerCreating"), { kind: "ConfigMap", name: "reflow-bridge-x" })
    expect(standing(pod, 20, { probe })).toMatchObject({ reason: "BridgeNotMounted", message: probe.message })
  })
})
