import { describe, expect, test } from "vitest"
import type { Event } from "../../../src/api/kinds/kubernetes.ts"
import type { ContainerState, PodStatus } from "../../../src/api/kinds/pod.ts"
import { mountCheckFrom, mountFinding, refusesVolume } from "../../../src/operator/bridge-state.ts"
import { signOf } from "../../../src/operator/server-state.ts"
import { createSightings } from "../../../src/operator/sightings.ts"
import { aStdioInstance, aStdioPod } from "../../support/build/bridge.ts"
import { birth, msAfter } from "../../support/build/metadata.ts"
import { aPod, startingStatus, waitingStatus } from "../../support/build/pod.ts"
import { aSnapshot } from "../../support/build/snapshot.ts"
import { fakeClock } from "../../support/fake-clock.ts"

const standing = (pod: ReturnType<typeof aStdioPod>, seconds = 60, sight = {}) =>
  aSnapshot({ instance: aStdioInstance, pod, now: msAfter(seconds), sight: { signAt: msAfter(0), ...sight } }).standing

/** The server waits for an init container in a state: the one that copies the bridge. */
const initializing = (state: ContainerState, name = "reflow-bridge"): PodStatus => ({
  ...waitingStatus("PodInitializing"),
  initContainerStatuses: [{ name, ready: false, restartCount: 0, state }],
})

const copying = initializing({
  waiting: { reason: "ImagePullBackOff", message: 'Back-off pulling image "bridge:1"' },
})

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

  test.each([
    ["containerd", "nosuch:1", 'failed to pull and unpack image "docker.io/library/nosuch:1": not found'],
    ["without a tag", "ghcr.io/org/files", 'failed to resolve reference "ghcr.io/org/files:latest": 403 Forbidden'],
    ["CRI-O", "quay.io/org/files:9", "reading manifest 9 in quay.io/org/files: manifest unknown"],
    ["of a signature", "ghcr.io/org/files:1", "image pull failed for ghcr.io/org/files:1 because of its signature"],
    ["whose name ends as the bridge's", "ghcr.io/org/bridge:1", 'Back-off pulling image "ghcr.io/org/bridge:1"'],
  ])("nor is the server's told as the bridge's: %s", (_, image, message) => {
    const instance = { ...aStdioInstance, spec: { ...aStdioInstance.spec, image } }
    const pod = aStdioPod(waitingStatus("ErrImagePull", message))
    const snapshot = aSnapshot({ instance, pod, now: msAfter(60), sight: { signAt: msAfter(0) } })
    expect(snapshot.standing).toMatchObject({ reason: "ErrImagePull" })
  })

  test("with the registry that the runtime adds", () => {
    const pod = aStdioPod(waitingStatus("ErrImagePull", 'failed to pull and unpack image "docker.io/library/bridge:1"'))
    expect(standing(pod)).toMatchObject({ reason: "BridgeImagePull" })
  })

  test("and it may heal for ten seconds", () => {
    const pod = aStdioPod(waitingStatus("ErrImagePull", 'failed to pull "bridge:1"'))
    expect(standing(pod, 9)).toMatchObject({ reason: "BridgeImagePull" })
    expect(standing(pod, 9).failed).toBeUndefined()
  })
})

test("a bridge's image whose pull the operator sees for the first time may heal for ten seconds too, as any image", () => {
  const pod = aStdioPod(copying, { kind: "Copy", image: "bridge:1" })
  const sightings = createSightings(fakeClock())
  sightings.see(aStdioInstance)
  const { uid = "" } = aStdioInstance.metadata
  const { signAt } = sightings.seePod(uid, pod.metadata.uid ?? "", signOf(pod))
  expect(signAt).toBe(msAfter(0))
  expect(standing(pod, 9, { signAt }).failed).toBeUndefined()
  expect(standing(pod, 10, { signAt })).toMatchObject({ reason: "BridgeImagePull", failed: {} })
})

describe("an init container that does not end", () => {
  const failed: ContainerState = { terminated: { exitCode: 2, reason: "Error" } }

  test("is told as the bridge's image if it is the one that copies the bridge", () => {
    const { reason, message } = standing(aStdioPod(initializing(failed), { kind: "Copy", image: "bridge:1" }))
    expect(reason).toBe("InitContainerNotReady")
    expect(message).toContain("'reflow-bridge' delays the Pod: it ended with exit code 2.")
    expect(message).toContain("kubernetes.bridge.image")
    expect(message).not.toContain("template")
  })

  test("is told as a template's or a webhook's if it is another one", () => {
    for (const pod of [
      aStdioPod(initializing(failed, "other"), { kind: "Copy", image: "bridge:1" }),
      aPod({ status: initializing(failed) }),
    ])
      expect(standing(pod).message).toMatch(/Correct what adds it: a pod template, or a webhook\.$/)
  })
})

describe("a volume that is not there", () => {
  const event = (reason: string, message: string): Event => ({
    apiVersion: "v1",
    kind: "Event",
    metadata: { name: "e" },
    involvedObject: {},
    reason,
    message,
  })

  test.each([
    ["containerd 2.0", "CreateContainerError", 'failed to apply OCI options: failed to mkdir "": mkdir : no such file'],
    ["CRI-O 1.30", "CreateContainerError", "mount.HostPath is empty"],
    ["cri-dockerd", "CreateContainerError", "invalid volume specification: ':/reflow-bridge:ro'"],
    ["one that drops it", "RunContainerError", 'exec: "/reflow-bridge/bridge/loader": no such file or directory'],
  ])("is told when the container cannot be made or run for it: %s", (_, reason, message) => {
    const { reason: told, failed, message: said } = standing(aStdioPod(waitingStatus(reason, message)))
    expect([told, failed]).toEqual(["BridgeNotMounted", {}])
    expect(said).toContain(message)
  })

  test.each([
    ['error mounting "/var/lib/kubelet/pods/u/volumes/tmp" to rootfs at "/tmp": not a directory'],
    ['failed to generate container spec: failed to stat "/data/models": no such file or directory'],
    ['error mounting "/reflow-bridge.old" to rootfs: not a directory'],
  ])("is not blamed for another mount: %s", (message) => {
    for (const reason of ["CreateContainerError", "RunContainerError"])
      expect(standing(aStdioPod(waitingStatus(reason, message)))).toMatchObject({ reason })
  })

  test("is not told of a Pod that has none", () => {
    const pod = aStdioPod(waitingStatus("CreateContainerError", 'failed to mkdir ""'), {
      kind: "Copy",
      image: "bridge:1",
    })
    expect(standing(pod)).toMatchObject({ reason: "CreateContainerError" })
  })

  test("is asked for in the Pod's Events, ten seconds after its node has taken it", () => {
    const creating = waitingStatus("ContainerCreating")
    expect(mountCheckFrom(aStdioPod(creating))).toBe(msAfter(10))
    expect(mountCheckFrom(aStdioPod(creating, { kind: "Copy", image: "bridge:1" }))).toBeUndefined()
    expect(mountCheckFrom(aStdioPod(waitingStatus("PodInitializing")))).toBeUndefined()
  })

  test("is asked for of a ConfigMap too, and of no Pod that speaks HTTP", () => {
    const creating = waitingStatus("ContainerCreating")
    expect(mountCheckFrom(aStdioPod(creating, { kind: "ConfigMap", name: "file" }))).toBe(msAfter(10))
    expect(mountCheckFrom(aPod({ status: creating }))).toBeUndefined()
  })

  test("is not asked for while no node has taken the Pod", () => {
    const unscheduled = { type: "PodScheduled", status: "False", lastTransitionTime: birth } as const
    const creating = waitingStatus("ContainerCreating")
    expect(mountCheckFrom(aStdioPod({ ...creating, conditions: [unscheduled] }))).toBeUndefined()
    expect(mountCheckFrom(aStdioPod({ ...creating, conditions: [] }))).toBeUndefined()
  })

  test("is not told of a node that is too busy to read the ConfigMap, which mounts it a moment later", () => {
    const setUp = 'MountVolume.SetUp failed for volume "reflow-bridge" :'
    const busy = event("FailedMount", `${setUp} failed to sync configmap cache: timed out waiting for the condition`)
    expect(mountFinding([busy])).toBeUndefined()
    const missing = event("FailedMount", `${setUp} configmap "reflow-bridge-x" not found`)
    expect(mountFinding([busy, missing])?.message).toContain("not found")
  })

  test("is told with the first 800 characters of what the kubelet says", () => {
    const said = `volume "reflow-bridge" ${"x".repeat(5_000)}`
    const message = mountFinding([event("FailedMount", said)])?.message
    expect(message).toHaveLength(800)
    expect(message).toMatch(/^The bridge cannot be mounted: volume "reflow-bridge" x+$/)
  })

  test("is found in an Event about the bridge's volume, and in no other", () => {
    const failed = event("FailedMount", 'MountVolume.SetUp failed for volume "reflow-bridge" : not supported')
    expect(mountFinding([failed])).toMatchObject({ reason: "BridgeNotMounted" })
    expect(mountFinding([event("FailedMount", 'volume "data" : timed out')])).toBeUndefined()
    expect(mountFinding([event("Pulling", "reflow-bridge")])).toBeUndefined()
    expect(mountFinding([event("SuccessfulMountVolume", 'succeeded for volume "reflow-bridge"')])).toBeUndefined()
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

test.each([
  ["PodInvalid", 'Pod "x" is invalid: spec.volumes[2]: Required value: must specify a volume type', true],
  ["PodInvalid", "spec.volumes[2].image: Forbidden: may not be used here", true],
  ["PodForbidden", 'restricted volume types (volume "reflow-bridge" uses restricted volume type "unknown")', true],
  ["PodInvalid", "spec.containers[0].resources.requests: must be less than or equal to cpu limit", false],
  ["PodInvalid", "spec.volumes[0].name: Invalid value", false],
  ["PodForbidden", 'pods "reflow-bridge-alice" is forbidden: violates PodSecurity', false],
  ["QuotaExceeded", "spec.volumes[2].image: exceeded quota", false],
] as const)("%s (%s): is the refusal about the bridge's volume? %s", (reason, message, isAboutVolume) => {
  expect(refusesVolume({ reason, message })).toBe(isAboutVolume)
})
