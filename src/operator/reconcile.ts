import { portOf } from "../api/kinds/container.ts"
import { isTrue } from "../api/kinds/kind.ts"
import { type Event, eventKind } from "../api/kinds/kubernetes.ts"
import { type MCPInstanceSpec, mcpInstanceKind } from "../api/kinds/mcp-instance.ts"
import { AppError, type ErrorCode, hasCode, isAbort, isAppError } from "../errors.ts"
import type { ClusterPort } from "../ports/cluster.ts"
import type { Logger } from "../ports/telemetry.ts"
import { act, refresh } from "./act.ts"
import { bridgeKind, mountFinding, refusesVolume } from "./bridge-state.ts"
import { decide, decideTrouble, toSnapshot } from "./decide.ts"
import { deliveryOf } from "./desired/bridge.ts"
import { type KeptPod, keptPodKind, keptServiceKind } from "./kept.ts"
import type { InstanceMetrics } from "./metrics.ts"
import { type Observatory, observe } from "./observe.ts"
import { probeCheckMs, probeFailureFrom, restartsOf, runningSince } from "./server-state.ts"
import type { Decision, ProbeFinding, Refusal, Snapshot } from "./snapshot.ts"

/** The cause of a failed startup probe, by the kubelet's Events, since the Pod's status is the same for all causes. */
export const findingOf = (events: readonly Event[], spec: MCPInstanceSpec): ProbeFinding | undefined => {
  const failure = events
    .filter(({ reason, message }) => reason === "Unhealthy" && message?.startsWith("Startup probe failed"))
    .sort((a, b) => ((a.lastTimestamp ?? "") < (b.lastTimestamp ?? "") ? 1 : -1))[0]?.message
  if (failure === undefined) return undefined
  if (/statuscode: 404/.test(failure)) {
    const message = `The server answers 404 at ${spec.healthPath}: correct healthPath, or leave it out for a TCP check.`
    return { reason: "HealthPathNotFound", message }
  }
  if (!/connection refused|dial tcp/.test(failure)) return undefined
  const message = `Nothing listens on port ${portOf(spec)}: the server must listen there, on all addresses (0.0.0.0).`
  return { reason: "PortClosed", message }
}

const eventsOf = async (cluster: ClusterPort, pod: KeptPod, signal: AbortSignal): Promise<readonly Event[]> => {
  const { namespace = "", name } = pod.metadata
  const fieldSelector = `involvedObject.name=${name}`
  const page = await cluster.list(eventKind, { namespace, fieldSelector, limit: 100 }, { signal })
  return page.items.filter(({ involvedObject }) => involvedObject.uid === pod.metadata.uid)
}

/** The Pod whose startup probe has failed for so long that the cause should be read from the API server. */
const podWithProbeFailure = ({ sightings, clock, pods }: Observatory, uid: string): KeptPod | undefined =>
  pods.controlledBy(uid).find((pod) => {
    const from = probeFailureFrom(pod)
    if (pod.metadata.deletionTimestamp !== undefined || from === undefined) return false
    return clock.now() >= from && !sightings.probeKnown(uid, String(restartsOf(pod)), probeCheckMs)
  })

/** Reads, at most every 30 s, why a startup probe fails. */
const learnProbe = async (cluster: ClusterPort, at: Observatory, name: string, signal: AbortSignal): Promise<void> => {
  const instance = at.instances.get(name)
  const uid = instance?.metadata.uid
  const pod = uid === undefined ? undefined : podWithProbeFailure(at, uid)
  if (instance === undefined || uid === undefined || pod === undefined) return
  const events = await eventsOf(cluster, pod, signal)
  // an Event about a mount stays for an hour, also after the kubelet has mounted it
  const finding = runningSince(pod) === undefined ? mountFinding(events) : findingOf(events, instance.spec)
  at.sightings.learnProbe(uid, String(restartsOf(pod)), finding)
}

/** How long the cache may lack our own write before the object is read from the API server. */
const doubtMs = 10_000
/** Most passes of observe → decide → act in one reconcile; a start needs five. */
const maxPasses = 12

/** True if the API server did not respond or was too busy, so that the error is not about the request. */
export const isOutage = (error: unknown): boolean =>
  hasCode(error, "ApiTooManyRequests") || (hasCode(error, "ClusterUnavailable") && error.data?.status !== 500)

/** Dependencies of a reconcile of instances. */
type ReconcileDeps = {
  readonly cluster: ClusterPort
  readonly namespace: string
  readonly at: Observatory
  readonly metrics: InstanceMetrics
  readonly log: Logger
  /** Puts another instance into the queue. */
  readonly wake: (name: string) => void
}

/** Reads objects again that the cache has not confirmed for 10 s. True if the cache still lacks one of our writes. */
const settleDoubts = async ({ cluster, namespace, at }: ReconcileDeps, name: string, signal: AbortSignal) => {
  const reader = { cluster, namespace, signal }
  const uid = at.instances.get(name)?.metadata.uid ?? ""
  const pods = at.pods.controlledBy(uid).map((pod) => pod.metadata.name)
  if (at.instances.doubtful(name, doubtMs)) await refresh(reader, mcpInstanceKind, at.instances, name)
  if (at.services.doubtful(name, doubtMs)) await refresh(reader, keptServiceKind, at.services, name)
  for (const pod of pods) if (at.pods.doubtful(pod, doubtMs)) await refresh(reader, keptPodKind, at.pods, pod)
  return at.instances.doubtful(name, 0) || at.services.doubtful(name, 0) || pods.some((pod) => at.pods.doubtful(pod, 0))
}

/**
 * Makes the function that reads a Pod from the API server if the status names it and the cache does not have it; each
 * Pod once. It was deleted, or another operator created it a moment ago and the watch of Pods lags.
 */
const createPodFinder = ({ cluster, namespace, at }: ReconcileDeps, signal: AbortSignal) => {
  const asked = new Set<string>()
  return async (name: string): Promise<void> => {
    const pod = at.instances.get(name)?.status?.podName
    if (pod === undefined || asked.has(pod) || at.pods.get(pod) !== undefined) return
    asked.add(pod)
    await refresh({ cluster, namespace, signal }, keptPodKind, at.pods, pod)
  }
}

/** Decides, and before the first effect reserves a granted place, so that no other instance gets it. */
const decideAndReserve = ({ at, wake }: ReconcileDeps, snapshot: Snapshot): Decision => {
  const decision = decide(snapshot)
  const { name, uid = "" } = snapshot.instance.metadata
  const begins = decision.actions.some((action) => action.do === "createService")
  if (begins || isTrue(decision.status.conditions, "Admitted")) at.planner.reserve(uid)
  for (const other of decision.wake) if (other !== name) wake(other)
  return decision
}

/** Errors that are not reported: the object had changed, or the operator is closing. */
const passing: readonly ErrorCode[] = ["ApiConflict", "ApiNotFound", "ShuttingDown"]

/**
 * Reports an error that stopped a reconcile in the instance's status and as an Event. Does nothing if the API server
 * does not respond. Never rejects.
 */
const reportTrouble = async (deps: ReconcileDeps, name: string, error: unknown, signal: AbortSignal): Promise<void> => {
  const { at, cluster, namespace, log } = deps
  if (signal.aborted || isAbort(error) || hasCode(error, ...passing) || isOutage(error)) return
  // the message of an error that is no AppError may contain anything
  const cause = isAppError(error) ? error.message : "an internal error of the operator; its log has the details."
  const message = `It is tried again, at growing intervals: ${cause}`.slice(0, 900)
  try {
    const seen = observe(at, name)
    if (seen === undefined) return
    const snapshot = toSnapshot(seen)
    const decision = decideTrouble(snapshot, message)
    if (decision !== undefined) await act({ cluster, namespace, views: at, log, signal }, snapshot, decision)
  } catch (unreported) {
    log.debug("the error of a reconcile could not be reported", { instance: name, error: unreported })
  }
}

/** Tells the supply of bridges that a Pod did not get its bridge, before the decision asks for another one. */
const repairBridge = async ({ pod, standing, settings }: Snapshot): Promise<void> => {
  const kind = pod === undefined ? undefined : bridgeKind(pod)
  if (kind !== undefined && standing.reason === "BridgeNotMounted") await settings.bridge?.repair(kind)
}

/** An API server may refuse a Pod because of its image volume: then the next one gets a copy. */
const afterRefusal = async ({ instance, settings }: Snapshot, refusal: Refusal | undefined): Promise<void> => {
  if (refusal === undefined || !refusesVolume(refusal)) return
  const kind = deliveryOf(instance.spec, settings)?.kind
  if (kind === "ImageVolume") await settings.bridge?.repair(kind)
}

/** Runs {@link passes}. Rejects with its error, after the error was reported on the instance. */
export const reconcileInstance = async (
  deps: ReconcileDeps,
  name: string,
  signal: AbortSignal,
): Promise<number | undefined> => {
  try {
    return await passes(deps, name, signal)
  } catch (error) {
    await reportTrouble(deps, name, error, signal)
    throw error
  }
}

/**
 * Reconciles one instance: observe → decide → act, repeated until nothing is left to do. Returns after how many
 * milliseconds to reconcile again; undefined if the instance was deleted.
 */
const passes = async (deps: ReconcileDeps, name: string, signal: AbortSignal): Promise<number | undefined> => {
  const { at, cluster, namespace, log, metrics } = deps
  const actor = { cluster, namespace, views: at, log, signal }
  const unconfirmed = await settleDoubts(deps, name, signal)
  const findPod = createPodFinder(deps, signal)
  let refusal: Refusal | undefined
  let step = ""
  for (let pass = 0; pass < maxPasses; pass++) {
    await findPod(name)
    await learnProbe(cluster, at, name, signal)
    signal.throwIfAborted()
    const seen = observe(at, name, refusal)
    if (seen === undefined) return undefined
    const snapshot = toSnapshot(seen)
    await repairBridge(snapshot)
    const decision = decideAndReserve(deps, snapshot)
    if (decision.actions.length === 0 && decision.statusPatch === undefined)
      return unconfirmed ? Math.min(doubtMs, decision.requeueAfter) : decision.requeueAfter
    step = decision.check
    const outcome = await act(actor, snapshot, decision)
    refusal = typeof outcome === "object" ? outcome : undefined
    await afterRefusal(snapshot, refusal)
    if (outcome === "done" && decision.statusPatch !== undefined)
      metrics.started(snapshot.instance.status, decision.status)
  }
  const undone = `after ${maxPasses} passes the step ${step} still has something to do`
  const detail = `The instance ${name} does not settle: ${undone}. Does a webhook or somebody else change what the operator writes?`
  throw new AppError("Internal", { detail })
}
