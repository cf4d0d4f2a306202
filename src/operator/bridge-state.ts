/** What a Pod's status says about the bridge in it: whether it could be pulled, and whether it was mounted. */
import type { Event } from "../api/kinds/kubernetes.ts"
import type { MCPInstanceSpec } from "../api/kinds/mcp-instance.ts"
import { serverContainer } from "../api/kinds/pod.ts"
import { labels } from "../api/names.ts"
import { bridgeName } from "./desired/bridge.ts"
import type { KeptContainerStatus, KeptPod } from "./kept.ts"
import type { ProbeFinding } from "./snapshot.ts"
import { moment } from "./time.ts"

/** How the bridge was to get into a Pod (`status.bridge`); undefined for a server that speaks HTTP. */
export const bridgeKind = ({ metadata }: KeptPod): string | undefined => metadata.annotations?.[labels.bridge]

const statusOf = (list: readonly KeptContainerStatus[] | undefined, name: string) =>
  list?.find((each) => each.name === name)

/**
 * The state of a container that waits because of the bridge's image: the init container that copies the bridge, or the
 * server's, whose image volumes are pulled before it. Undefined if there is none.
 */
export const waitsForBridgeImage = (pod: KeptPod, spec: Pick<MCPInstanceSpec, "image">) => {
  const copier = statusOf(pod.status?.initContainerStatuses, bridgeName)?.state?.waiting
  if (copier !== undefined) return copier
  const server = statusOf(pod.status?.containerStatuses, serverContainer)?.state?.waiting
  const isOfServer = server?.message === undefined || server.message.includes(`"${spec.image}"`)
  return bridgeKind(pod) === "ImageVolume" && !isOfServer ? server : undefined
}

/** Matches messages about a mount or a file of the bridge that is not there. */
const mountMessage = /reflow-bridge|mount|failed to stat/

/** True if a container could not be made or run because its image volume is not there, as on an old runtime. */
export const lacksVolume = (pod: KeptPod, reason: string, detail: string): boolean =>
  bridgeKind(pod) === "ImageVolume" &&
  (reason === "CreateContainerError" || reason === "RunContainerError") &&
  mountMessage.test(detail)

/** How long the setup of a container may take before its Events are read, milliseconds. */
const patienceMs = 10_000

/** From when on the Events of a Pod should be read, to find out whether the bridge can be mounted; undefined = never. */
export const mountCheckFrom = (pod: KeptPod): number | undefined => {
  const kind = bridgeKind(pod)
  const state = statusOf(pod.status?.containerStatuses, serverContainer)?.state
  if ((kind !== "ImageVolume" && kind !== "ConfigMap") || state?.waiting?.reason !== "ContainerCreating")
    return undefined
  const scheduled = pod.status?.conditions?.find(({ type }) => type === "PodScheduled")
  const since = scheduled?.status === "True" ? moment(scheduled.lastTransitionTime) : undefined
  return since === undefined ? undefined : since + patienceMs
}

/** The kubelet's Event that the bridge's volume cannot be mounted, as a finding; undefined if there is none. */
export const mountFinding = (events: readonly Event[]): ProbeFinding | undefined => {
  const failure = events.find(
    ({ reason, message }) => reason === "FailedMount" && message?.includes(`volume "${bridgeName}"`),
  )
  if (failure === undefined) return undefined
  const message = `The bridge cannot be mounted: ${failure.message ?? "unknown cause"}`.slice(0, 800)
  return { reason: "BridgeNotMounted", message }
}
