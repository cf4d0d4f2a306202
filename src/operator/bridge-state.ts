/** What a Pod's status says about the bridge in it: whether it could be pulled, and whether it was mounted. */
import type { Event } from "../api/kinds/kubernetes.ts"
import { serverContainer } from "../api/kinds/pod.ts"
import { labels } from "../api/names.ts"
import { bridgeName } from "./desired/bridge.ts"
import type { KeptContainerStatus, KeptPod } from "./kept.ts"
import { openInstaller } from "./package-state.ts"
import type { ProbeFinding, Refusal } from "./snapshot.ts"
import { moment } from "./time.ts"

/** How the bridge was to get into a Pod (`status.bridge`); undefined for a server that speaks HTTP. */
export const bridgeKind = ({ metadata }: KeptPod): string | undefined => metadata.annotations?.[labels.bridge]

const statusOf = (list: readonly KeptContainerStatus[] | undefined, name: string) =>
  list?.find((each) => each.name === name)

/** The image that a Pod gets the bridge from as a volume; undefined if it gets it in another way. */
const volumeImage = ({ spec }: KeptPod): string | undefined =>
  spec.volumes?.find(({ name }) => name === bridgeName)?.image?.reference

/**
 * True if a message about a pull names the bridge's image and not the server's. Runtimes add a registry or a tag to a
 * reference, and some name no image: in doubt it is the server's, whose author can look at it.
 */
const namesBridge = (message: string, bridge: string, server: string): boolean => {
  if (!message.includes(bridge)) return false
  return !message.includes(server) || (bridge.length > server.length && bridge.includes(server))
}

/**
 * The state of a container that waits because of the bridge's image: the init container that copies the bridge, or the
 * one whose image volumes are pulled before it, the installer of the package or the server. `server`: that one's image.
 * Undefined if there is none.
 */
export const waitsForBridgeImage = (pod: KeptPod, server: string) => {
  const copier = statusOf(pod.status?.initContainerStatuses, bridgeName)?.state?.waiting
  if (copier !== undefined) return copier
  const current = openInstaller(pod) ?? statusOf(pod.status?.containerStatuses, serverContainer)
  const waiting = current?.state?.waiting
  const image = volumeImage(pod)
  return image !== undefined && namesBridge(waiting?.message ?? "", image, server) ? waiting : undefined
}

/**
 * Matches what runtimes say of an image volume that they do not know, which is to them a mount without a source:
 * containerd before 2.1 (`failed to mkdir ""`), CRI-O before 1.31 (`mount.HostPath is empty`), cri-dockerd (which names
 * the place). A message about another mount is none of the bridge's: every server would then get a copy.
 */
const mountMessage = /failed to (?:mkdir|stat) ""|mount\.HostPath is empty|\/reflow-bridge(?![\w.-])/

/** True if a container could not be made or run because its image volume is not there, as on an old runtime. */
export const lacksVolume = (pod: KeptPod, reason: string, detail: string): boolean =>
  bridgeKind(pod) === "ImageVolume" &&
  (reason === "CreateContainerError" || reason === "RunContainerError") &&
  mountMessage.test(detail)

/** Matches what API servers and their admission say of a volume of a type that they do not know. */
const refusalMessage = /spec\.volumes\[\d{1,4}\](?:\.image\b|: Required value)|volume "reflow-bridge" uses/

/** True if the API server refused a Pod because of its image volume, and not for a reason of the target's own. */
export const refusesVolume = ({ reason, message }: Refusal): boolean =>
  (reason === "PodInvalid" || reason === "PodForbidden") && refusalMessage.test(message)

/** How long the setup of a container may take before its Events are read, milliseconds. */
const patienceMs = 10_000

/** From when on the Events of a Pod should be read, to find out whether the bridge can be mounted; undefined = never. */
export const mountCheckFrom = (pod: KeptPod): number | undefined => {
  const kind = bridgeKind(pod)
  const installer = openInstaller(pod)
  const { state } = installer ?? statusOf(pod.status?.containerStatuses, serverContainer) ?? {}
  // the kubelet's word for an init container whose volumes it mounts
  const setup = installer === undefined ? "ContainerCreating" : "PodInitializing"
  if ((kind !== "ImageVolume" && kind !== "ConfigMap") || state?.waiting?.reason !== setup) return undefined
  const scheduled = pod.status?.conditions?.find(({ type }) => type === "PodScheduled")
  const since = scheduled?.status === "True" ? moment(scheduled.lastTransitionTime) : undefined
  return since === undefined ? undefined : since + patienceMs
}

/** Matches what a kubelet says that is too busy to read a ConfigMap: it mostly mounts it a moment later. */
const busyMessage = /failed to sync configmap cache/

/** The kubelet's Event that the bridge's volume cannot be mounted, as a finding; undefined if there is none. */
export const mountFinding = (events: readonly Event[]): ProbeFinding | undefined => {
  const failure = events.find(
    ({ reason, message = "" }) =>
      reason === "FailedMount" && message.includes(`volume "${bridgeName}"`) && !busyMessage.test(message),
  )
  if (failure === undefined) return undefined
  const message = `The bridge cannot be mounted: ${failure.message ?? "unknown cause"}`.slice(0, 800)
  return { reason: "BridgeNotMounted", message }
}
