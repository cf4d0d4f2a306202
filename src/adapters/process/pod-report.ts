import { labels } from "../../api/labels.ts"
import { type Container, type Pod, podKind } from "../../api/pod.ts"
import type { ClockPort } from "../../ports/clock.ts"
import type { ClusterPort, EventInput, ObjectRef } from "../../ports/cluster.ts"
import type { Logger } from "../../ports/telemetry.ts"
import type { Ports } from "./port.ts"
import { toPodStatus } from "./status.ts"
import { createStatusWriter, type PodCalls, persist } from "./status-writer.ts"
import type { ContainerView } from "./view.ts"

/** A text without the secret values that are in it; blank ones stay. */
export type Hide = (text: string, values: readonly string[]) => Promise<string>

/** What the node gives to each of its Pods. */
export type NodeDeps = {
  readonly cluster: ClusterPort
  readonly clock: ClockPort
  readonly log: Logger
  readonly nodeName: string
  readonly ports: Ports
  readonly baseEnvironment: Readonly<Record<string, string>>
  readonly workingDirectory: string
  readonly hide: Hide
}

/** Namespace and name of a Pod. */
export const refOf = ({ metadata }: Pod): ObjectRef => ({ namespace: metadata.namespace ?? "", name: metadata.name })

/** Tells the cluster about one Pod; silent once `calls.signal` is aborted. */
export type PodReport = {
  /** Writes the Pod's status from the container's state. */
  show(view: ContainerView): void
  /** Records an Event; one that gets lost harms nobody. */
  tell(type: EventInput["type"], reason: string, note: string): void
  /** Binds the Pod to this node and says at which port its server will be. */
  bind(port: number | undefined): Promise<Pod | undefined>
}

/** Makes the reporter of a Pod. */
export const createPodReport = (deps: NodeDeps, pod: Pod, container: Container, calls: PodCalls): PodReport => {
  const writer = createStatusWriter(calls, pod)
  const { signal, log } = calls
  return {
    show: (view) => {
      if (signal.aborted) return
      writer.write(toPodStatus({ pod, container, view, before: writer.current(), now: deps.clock.now() }))
    },
    tell: (type, reason, note) => {
      if (signal.aborted) return
      deps.cluster
        .recordEvent({ regarding: pod, type, reason, note }, { signal })
        .catch((error: unknown) => log.debug("an Event was lost", { error }))
    },
    bind: (port) => {
      const annotations = port === undefined ? {} : { annotations: { [labels.nodePort]: String(port) } }
      const patch = { metadata: { uid: pod.metadata.uid, ...annotations }, spec: { nodeName: deps.nodeName } }
      return persist(calls, "binding a Pod", () => deps.cluster.mergePatch(podKind, refOf(pod), patch, { signal }))
    },
  }
}
