import { defaultPath, portOf } from "../api/kinds/container.ts"
import { type Condition, findCondition, withCondition } from "../api/kinds/kind.ts"
import type { MCPInstance, MCPInstanceStatus, Phase } from "../api/kinds/mcp-instance.ts"
import { labels, podName } from "../api/names.ts"
import { mergePatchBetween } from "../api/patch.ts"
import { initialRestartTime } from "../signals/restart.ts"
import { startSteps } from "../signals/start.ts"
import { isQueueReason } from "./capacity.ts"
import type { KeptContainerStatus, KeptPod } from "./kept.ts"
import { installerStatus } from "./package-state.ts"
import type { admittedReasons, drainingReasons, podReadyReasons, ReadyReason } from "./reasons.ts"
import { hasStarted, podCondition, restartsOf, runningSince } from "./server-state.ts"
import type { Snapshot, Standing, Verdict } from "./snapshot.ts"
import { isSpecNews } from "./start.ts"
import { moment, nextAfter, stamp } from "./time.ts"

const bracketed = (host: string): string => (host.includes(":") ? `[${host}]` : host)

/** The port that the embedded cluster's node gave to the Pod; undefined if it has none yet. */
const nodePort = (pod: KeptPod | undefined): number | undefined => {
  const port = Number(pod?.metadata.annotations?.[labels.nodePort])
  return Number.isInteger(port) && port > 0 ? port : undefined
}

/** URLs of the instance's MCP endpoint: of its Service, and of the Pod itself; undefined while not known. */
const addressesOf = (
  { instance, service, settings }: Pick<Snapshot, "instance" | "service" | "settings">,
  pod: KeptPod | undefined,
): { readonly url: string | undefined; readonly podURL: string | undefined } => {
  const port = settings.embedded ? nodePort(pod) : portOf(instance.spec)
  const urlOf = (host: string | undefined) =>
    host === undefined || host === "" || host === "None" || port === undefined
      ? undefined
      : `http://${bracketed(host)}:${port}${instance.spec.path ?? defaultPath}`
  return { url: urlOf(service?.spec.clusterIP), podURL: urlOf(pod?.status?.podIP) }
}

/** When the installer of the package began, milliseconds since the epoch; undefined while it has not. */
const installedSince = ({ state }: KeptContainerStatus): number | undefined =>
  moment(state?.terminated?.startedAt ?? state?.running?.startedAt)

/**
 * Seconds of each step of a start, from the timestamps of the objects: queue (until admitted), create (until the Pod
 * exists), schedule (until it has a node), pull (until the server's container runs, or the one that installs its package),
 * install (until the server's container runs after that), start (until the kubelet reports it ready),
 * ready (until the operator reports it ready, at `now`). A step whose timestamps are missing is left out. Steps are
 * never negative: different clocks give 0. Without `now` the start is not complete: only the steps that are over, so
 * that the same Pod gives the same steps.
 */
export const timingsOf = (instance: MCPInstance, pod: KeptPod, now?: number): Record<string, number> => {
  const ready = podCondition(pod, "Ready")
  const first = instance.status?.starts === 1
  const created = moment(instance.metadata.creationTimestamp)
  const installer = installerStatus(pod)
  const admitted = moment(findCondition(instance.status?.conditions, "Admitted")?.lastTransitionTime)
  const marks: readonly (number | undefined)[] = [
    // a later start did not wait for a place
    first ? created : undefined,
    first ? admitted : undefined,
    moment(pod.metadata.creationTimestamp),
    moment(podCondition(pod, "PodScheduled")?.lastTransitionTime),
    installer === undefined ? runningSince(pod) : installedSince(installer),
    installer === undefined ? undefined : runningSince(pod),
    // while the condition is not True this is the time when it became False
    now === undefined && ready?.status !== "True" ? undefined : moment(ready?.lastTransitionTime),
    now,
  ]
  const timings: Record<string, number> = {}
  let before = marks[0]
  for (const [index, step] of startSteps.entries()) {
    const mark = marks[index + 1]
    if (mark === undefined) continue
    if (before !== undefined) timings[step] = Math.max(0, Math.round(mark - before) / 1000)
    before = Math.max(before ?? mark, mark)
  }
  return timings
}

/** How long the status leaves out a new Pod without address: one usually comes soon, which saves a write. */
const quietMs = 10_000

/** Reasons that a start without trouble passes through: they do not need a write of their own. */
const ordinary: readonly string[] = ["Starting", "ContainerCreating"]

/** Reason and message of an instance whose Pod is about to be created, or was created a moment ago. */
export const pendingReason = { reason: "Pending", message: "The Pod is being created." } as const

type Draft = { -readonly [K in keyof MCPInstanceStatus]: MCPInstanceStatus[K] }

const forgetPod = { podIP: undefined, podURL: undefined, incarnation: undefined } as const
const forgetStart = {
  ...forgetPod,
  podName: undefined,
  secretName: undefined,
  bridge: undefined,
  startTime: undefined,
  readyTime: undefined,
  restarts: undefined,
  timings: undefined,
  backoffUntilTime: undefined,
} as const

/** From when on a new Pod is in the status even without an address; undefined while there is no Pod. */
const shownFrom = ({ sight }: Pick<Snapshot, "sight">): number | undefined =>
  sight === undefined ? undefined : sight.seenAt + quietMs

/**
 * When time alone can change the status, whichever check has decided; milliseconds since the epoch, undefined = never.
 */
export const statusUntil = (snapshot: Snapshot): number | undefined => {
  const { use, standing, pod, now } = snapshot
  const isStarting = pod !== undefined && !hasStarted(pod)
  return nextAfter(now, use.nextExpiry, standing.until, isStarting ? shownFrom(snapshot) : undefined)
}

/** The Pod, unless the status must not show it yet. */
const shownPod = (snapshot: Snapshot): KeptPod | undefined => {
  const { pod, standing, now, instance } = snapshot
  if (pod === undefined) return undefined
  const known = instance.status?.podName === pod.metadata.name
  const hasNews = pod.status?.podIP !== undefined || !ordinary.includes(standing.reason)
  return known || hasNews || now >= (shownFrom(snapshot) ?? Number.POSITIVE_INFINITY) ? pod : undefined
}

const bridges: readonly MCPInstanceStatus["bridge"][] = ["Local", "ConfigMap", "ImageVolume", "Copy"]

const podFacts = (pod: KeptPod): Draft => ({
  podName: pod.metadata.name,
  podIP: pod.status?.podIP,
  // no process runs before the Pod has an address; and a gateway that probed its Service then might reach a stranger,
  // since the nodes may not route to it yet
  incarnation: pod.status?.podIP === undefined ? undefined : `${pod.metadata.uid ?? ""}.${restartsOf(pod)}`,
  secretName: pod.spec.containers[0]?.envFrom?.find(({ secretRef }) => secretRef !== undefined)?.secretRef?.name,
  bridge: bridges.find((each) => each === pod.metadata.annotations?.[labels.bridge]),
  startTime: pod.metadata.creationTimestamp,
  restarts: restartsOf(pod),
})

/**
 * The status fields about the Pod. `podName` stays after the Pod's end: it shows that the name of this start was used.
 */
const aboutPod = (snapshot: Snapshot, starts: number | undefined): Draft => {
  if (starts !== undefined) return { ...forgetStart, starts, url: addressesOf(snapshot, undefined).url }
  const shown = shownPod(snapshot)
  const { url, podURL } = addressesOf(snapshot, shown)
  if (shown !== undefined) return { ...podFacts(shown), url, podURL }
  const { metadata, status } = snapshot.instance
  const current = podName(metadata.name, metadata.uid ?? "", status?.starts ?? 0)
  const ended = snapshot.pod === undefined && snapshot.pods.some((pod) => pod.metadata.name === current)
  return { ...forgetPod, url, podName: ended ? current : status?.podName }
}

const aboutBackoff = (snapshot: Snapshot, { backoff }: Verdict, ready: boolean): Draft => {
  if (backoff !== undefined) return { backoffSeconds: backoff.seconds, backoffUntilTime: stamp(backoff.until) }
  if (ready || isSpecNews(snapshot)) return { backoffSeconds: undefined, backoffUntilTime: undefined }
  const complete = snapshot.pod !== undefined && snapshot.service !== undefined
  return complete ? { backoffUntilTime: undefined } : {}
}

const aboutFailure = (snapshot: Snapshot, { reason, message, failed }: Standing): Draft => {
  if (failed === undefined) return { failure: undefined }
  const before = snapshot.instance.status?.failure
  // not before the creation of its Pod, else gateways would take it for a failure of an earlier start
  const created = moment(snapshot.pod?.metadata.creationTimestamp) ?? snapshot.now
  const time = before?.reason === reason ? before.time : stamp(Math.max(snapshot.now, created))
  const { exitCode } = failed
  return { failure: { reason, message, time, ...(exitCode === undefined ? {} : { exitCode }) } }
}

const aboutDrain = ({ instance, now, settings }: Snapshot, { drain }: Verdict): Draft => {
  if (drain === undefined) return { drainDeadlineTime: undefined, drainSeenBy: undefined }
  const { drainDeadlineTime } = instance.status ?? {}
  if (drainDeadlineTime !== undefined) return { drainDeadlineTime }
  return { drainDeadlineTime: stamp(now + settings.drain_timeout), drainSeenBy: undefined }
}

const aboutUse = ({ instance, use }: Snapshot): Draft => {
  const { inUseBy } = instance.status ?? {}
  if (inUseBy === undefined || use.expired.length === 0) return {}
  return { inUseBy: Object.fromEntries(Object.entries(inUseBy).filter(([key]) => !use.expired.includes(key))) }
}

/** The state and the Pod that the status shows. */
type Shown = { readonly standing: Standing; readonly pod: KeptPod | undefined }

/**
 * The status fields about the duration of a start. A gateway may call a Pod before it is Ready: so the steps that are
 * over are written together with the Pod's address.
 */
const aboutStart = ({ instance, now }: Snapshot, { standing, pod }: Shown): Draft => {
  if (pod === undefined || instance.status?.readyTime !== undefined) return {}
  if (standing.ready) return { readyTime: stamp(now), timings: timingsOf(instance, pod, now) }
  return pod.status?.podIP === undefined ? {} : { timings: timingsOf(instance, pod) }
}

type Because<Type extends string, Reason extends string> = Pick<Condition, "status" | "message"> & {
  readonly type: Type
  readonly reason: Reason
}
type NewCondition =
  | Because<"Admitted", (typeof admittedReasons)[number]>
  | Because<"PodReady", ReadyReason | (typeof podReadyReasons)[number]>
  | Because<"Ready", ReadyReason>
  | Because<"Draining", (typeof drainingReasons)[number]>

const conditionsOf = (snapshot: Snapshot, verdict: Verdict, { standing, pod }: Shown): readonly Condition[] => {
  const { instance, now } = snapshot
  const before = instance.status?.conditions ?? []
  const truth = (ready: boolean) => (ready ? "True" : "False")
  const { refused, drain } = verdict
  const admitted: NewCondition =
    refused === undefined
      ? { type: "Admitted", status: "True", reason: "Admitted", message: "It has a place under the limits." }
      : { type: "Admitted", status: "False", ...refused }
  const waits: Standing =
    refused === undefined || standing.failed !== undefined ? standing : { ready: false, ...refused }
  const { reason, message } = waits
  const ofPod = pod === undefined ? ({ reason: "NoPod", message: "There is no Pod." } as const) : { reason, message }
  const next: NewCondition[] = [
    admitted,
    { type: "PodReady", status: truth(pod !== undefined && snapshot.standing.ready), ...ofPod },
    { type: "Ready", status: truth(waits.ready), reason, message },
  ]
  if (drain !== undefined) next.push({ type: "Draining", status: "True", ...drain })
  else if (findCondition(before, "Draining") !== undefined)
    next.push({ type: "Draining", status: "False", reason: "NotDraining", message: "It is not being drained." })
  const observedGeneration = instance.metadata.generation
  return next.reduce<readonly Condition[]>(
    (conditions, each) =>
      withCondition(
        conditions,
        { ...each, ...(observedGeneration === undefined ? {} : { observedGeneration }) },
        stamp(now),
      ),
    before,
  )
}

const phaseOf = ({ refused, drain }: Verdict, standing: Standing, hasPod: boolean): Phase => {
  if (refused !== undefined && isQueueReason(refused.reason)) return "Queued"
  if (refused !== undefined) return "Failed"
  if (drain !== undefined || standing.reason === "Terminating") return "Draining"
  if (standing.ready) return "Ready"
  if (standing.failed !== undefined) return "Failed"
  return hasPod ? "Starting" : "Pending"
}

/** The wanted status. Pure: equal input gives an equal status, so that a stable state causes no write. */
export const nextStatus = (snapshot: Snapshot, verdict: Verdict): MCPInstanceStatus => {
  const { instance } = snapshot
  const before = instance.status ?? {}
  const fresh = verdict.starts === undefined || verdict.starts === before.starts ? undefined : verdict.starts
  const pod = fresh === undefined ? shownPod(snapshot) : undefined
  // a Pod that the status does not show yet is reported as pending
  const hidden = verdict.standing === undefined && snapshot.pod !== undefined && pod === undefined
  const shown: Standing = hidden ? { ...snapshot.standing, ...pendingReason } : snapshot.standing
  const standing = verdict.standing ?? shown
  return {
    ...before,
    ...aboutPod(snapshot, fresh),
    ...aboutStart(snapshot, { standing, pod }),
    ...aboutBackoff(snapshot, verdict, standing.ready),
    ...aboutFailure(snapshot, standing),
    ...aboutDrain(snapshot, verdict),
    ...aboutUse(snapshot),
    initialRestartTime: initialRestartTime(instance),
    conditions: [...conditionsOf(snapshot, verdict, { standing, pod })],
    phase: phaseOf(verdict, standing, pod !== undefined),
    observedGeneration: instance.metadata.generation,
  }
}

/** The merge patch from the current to the wanted status; undefined if they are equal. */
export const statusPatch = (snapshot: Snapshot, next: MCPInstanceStatus) => {
  const patch = mergePatchBetween(snapshot.instance.status ?? {}, next)
  return patch === undefined ? undefined : { status: patch }
}
