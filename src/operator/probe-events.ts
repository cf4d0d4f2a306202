import { type Event, eventKind } from "../api/event.ts"
import type { MCPInstanceSpec } from "../api/mcp-instance.ts"
import type { Pod } from "../api/pod.ts"
import type { ClusterPort } from "../ports/cluster.ts"
import { graceMs, hasStarted, restartsOf, runningSince } from "./failure.ts"
import { probeLookMs } from "./next-look.ts"
import type { Observatory } from "./observe.ts"
import type { ProbeFinding } from "./snapshot.ts"

/** What the kubelet's words about a failed startup probe mean. Pod status is the same for all of them. */
export const findingOf = (events: readonly Event[], spec: MCPInstanceSpec): ProbeFinding | undefined => {
  const words = events
    .filter(({ reason, message }) => reason === "Unhealthy" && message?.startsWith("Startup probe failed"))
    .sort((a, b) => ((a.lastTimestamp ?? "") < (b.lastTimestamp ?? "") ? 1 : -1))[0]?.message
  if (words === undefined) return undefined
  if (/statuscode: 404/.test(words)) {
    const message = `The server answers 404 at ${spec.healthPath}: correct healthPath, or leave it out for a TCP check.`
    return { reason: "HealthPathNotFound", message }
  }
  if (!/connection refused|dial tcp/.test(words)) return undefined
  const message = `Nothing listens on port ${spec.port}: the server must listen there, on all addresses (0.0.0.0).`
  return { reason: "PortClosed", message }
}

const eventsOf = async (cluster: ClusterPort, pod: Pod, signal: AbortSignal): Promise<readonly Event[]> => {
  const { namespace = "", name } = pod.metadata
  const fieldSelector = `involvedObject.name=${name}`
  const page = await cluster.list(eventKind, { namespace, fieldSelector, limit: 100 }, { signal })
  return page.items.filter(({ involvedObject }) => involvedObject.uid === pod.metadata.uid)
}

/** The Pod whose startup probe has failed for so long that the reason should be asked for. */
const puzzling = ({ sightings, clock, pods }: Observatory, uid: string): Pod | undefined =>
  pods.controlledBy(uid).find((pod) => {
    const since = runningSince(pod)
    if (pod.metadata.deletionTimestamp !== undefined || since === undefined || hasStarted(pod)) return false
    return clock.now() >= since + graceMs && !sightings.probeKnown(uid, String(restartsOf(pod)), probeLookMs)
  })

/** Asks, on demand and rarely, why a startup probe fails. */
export const learnProbe = async (
  cluster: ClusterPort,
  at: Observatory,
  name: string,
  signal: AbortSignal,
): Promise<void> => {
  const instance = at.instances.get(name)
  const uid = instance?.metadata.uid
  const pod = uid === undefined ? undefined : puzzling(at, uid)
  if (instance === undefined || uid === undefined || pod === undefined) return
  const events = await eventsOf(cluster, pod, signal)
  at.sightings.learnProbe(uid, String(restartsOf(pod)), findingOf(events, instance.spec))
}
