import type { ObjectMeta } from "../../../src/api/kinds/kind.ts"
import type { MCPInstance } from "../../../src/api/kinds/mcp-instance.ts"
import type { ContainerState, ContainerStatus, Pod, PodStatus } from "../../../src/api/kinds/pod.ts"
import { podName } from "../../../src/api/names.ts"
import { desiredPod } from "../../../src/operator/desired/pod.ts"
import { anInstance } from "./instance.ts"
import { birth, metadata } from "./metadata.ts"
import { someSettings } from "./settings.ts"

/** What a test says of a Pod; the rest is the Pod that the operator makes for an instance's first start. */
export type PodParts = {
  readonly of?: MCPInstance
  readonly start?: number
  readonly metadata?: Partial<ObjectMeta>
  readonly status?: PodStatus
}

/** A Pod of an instance. */
export const aPod = ({ of = anInstance(), start = 1, metadata: more, status }: PodParts = {}): Pod => {
  const name = podName(of.metadata.name, of.metadata.uid ?? "", start)
  const pod = desiredPod({ instance: of, name, settings: someSettings() })
  return {
    ...pod,
    metadata: { ...pod.metadata, ...metadata(name, { uid: `uid-${name}`, ...more }) },
    ...(status === undefined ? {} : { status }),
  }
}

type ContainerParts = Partial<Omit<ContainerStatus, "name" | "state">> & { readonly state?: ContainerState }

/** Status of a Pod on a node, whose container is as given. */
export const podStatus = (container: ContainerParts, more: PodStatus = {}): PodStatus => ({
  phase: "Pending",
  podIP: "10.1.0.7",
  conditions: [
    { type: "PodScheduled", status: "True", lastTransitionTime: birth },
    { type: "Ready", status: container.ready === true ? "True" : "False", lastTransitionTime: birth },
  ],
  containerStatuses: [{ name: "mcp", ready: false, restartCount: 0, ...container }],
  ...more,
})

/** A server that answers its probes. */
export const readyStatus = (more: ContainerParts = {}): PodStatus =>
  podStatus({ ready: true, started: true, state: { running: { startedAt: birth } }, ...more }, { phase: "Running" })

/** A server process that runs and has not answered yet. */
export const startingStatus = (startedAt = birth): PodStatus =>
  podStatus({ started: false, state: { running: { startedAt } } }, { phase: "Running" })

/** A container that waits, in the kubelet's words. */
export const waitingStatus = (reason: string, message = "", more: ContainerParts = {}): PodStatus =>
  podStatus({ ...more, state: { waiting: { reason, message } } })

/** A container that ended and was not started again yet. */
export const crashedStatus = (exitCode: number, reason = "Error", restartCount = 0): PodStatus =>
  podStatus({ restartCount, state: { terminated: { exitCode, reason, finishedAt: birth } } })
