import { serverContainer } from "../api/kinds/pod.ts"
import { bridgeKind } from "./bridge-state.ts"
import { bridgeName } from "./desired/bridge.ts"
import { packageName } from "./desired/package.ts"
import type { KeptContainerStatus, KeptPod } from "./kept.ts"
import { mayQuote } from "./kubelet-message.ts"
import type { ReadyReason } from "./reasons.ts"
import { moment } from "./time.ts"

/** A cause other than the server that keeps a Pod from being Ready; as reason and message of the condition Ready. */
type OtherTrouble = { readonly reason: ReadyReason; readonly message: string }

/** Reasons of a container that is starting without trouble. */
const passingReasons: readonly string[] = ["PodInitializing", "ContainerCreating"]

/** A container that must end, or become ready, may take this long before it counts as trouble. */
const patienceMs = 10_000

/**
 * Trouble of a container that crashes repeatedly: its last exit code, also while it waits or runs between two crashes.
 */
const crashOf = ({ state = {}, lastState, ready }: KeptContainerStatus): string | undefined => {
  const { waiting, terminated = lastState?.terminated } = state
  if (ready || terminated === undefined || terminated.exitCode === 0) return undefined
  const isBetween =
    waiting === undefined || waiting.reason === "CrashLoopBackOff" || passingReasons.includes(waiting.reason ?? "")
  return isBetween ? `it ended with exit code ${terminated.exitCode}` : undefined
}

/** What is wrong with a container; undefined if nothing is, or if it has not taken too long yet. */
const troubleOf = (status: KeptContainerStatus, now: number): string | undefined => {
  const { state = {}, ready } = status
  const { waiting, terminated, running } = state
  const crash = crashOf(status)
  if (crash !== undefined) return crash
  if (waiting !== undefined) {
    const { reason = "", message = "" } = waiting
    if (passingReasons.includes(reason) || reason === "") return undefined
    return [reason, mayQuote.test(reason) ? "" : message]
      .filter((each) => each !== "")
      .join(": ")
      .slice(0, 400)
  }
  if (terminated !== undefined) return undefined
  const since = moment(running?.startedAt)
  return ready || since === undefined || now < since + patienceMs ? undefined : "it runs, and is not done or not ready"
}

const withTrouble = (statuses: readonly KeptContainerStatus[], now: number) => {
  for (const status of statuses) {
    const trouble = troubleOf(status, now)
    if (trouble !== undefined) return { name: status.name, trouble }
  }
  return undefined
}

/** True for a started sidecar (init container with restartPolicy Always): later containers do not wait for it. */
const isStartedSidecar = ({ spec }: KeptPod, { name, started }: KeptContainerStatus): boolean =>
  started === true &&
  spec.initContainers?.some((each) => each.name === name && each.restartPolicy === "Always") === true

/** Init containers whose trouble ends by nobody but their author; the installer of a package is judged by itself. */
const awaited = (pod: KeptPod): readonly KeptContainerStatus[] =>
  (pod.status?.initContainerStatuses ?? []).filter((each) => each.name !== packageName && !isStartedSidecar(pod, each))

/**
 * The init container that delays a Pod: the kubelet starts the server only after it. Undefined if none is in trouble.
 */
export const initTrouble = (pod: KeptPod, now: number): OtherTrouble | undefined => {
  const found = withTrouble(awaited(pod), now)
  if (found === undefined) return undefined
  const isCopier = found.name === bridgeName && bridgeKind(pod) === "Copy"
  const remedy = isCopier
    ? "It copies the bridge: check kubernetes.bridge.image."
    : "Correct what adds it: a pod template, or a webhook."
  const message = `The init container '${found.name}' delays the Pod: ${found.trouble}. ${remedy}`
  return { reason: "InitContainerNotReady", message }
}

/** The next moment at which a running init container counts as trouble; undefined if there is none. */
export const initTroubleAt = (pod: KeptPod, now: number): number | undefined => {
  const ends = awaited(pod).map(({ state }) => (moment(state?.running?.startedAt) ?? 0) + patienceMs)
  const next = Math.min(...ends.filter((at) => at > now))
  return Number.isFinite(next) ? next : undefined
}

const isTrue = (pod: KeptPod, type: string): boolean =>
  pod.status?.conditions?.some((each) => each.type === type && each.status === "True") === true

const gateTrouble = (pod: KeptPod): OtherTrouble | undefined => {
  const gate = pod.spec.readinessGates?.find(({ conditionType }) => !isTrue(pod, conditionType))
  if (gate === undefined) return undefined
  const { message = "" } = pod.status?.conditions?.find(({ type }) => type === gate.conditionType) ?? {}
  const cause = message === "" ? "its condition is not True" : message
  return {
    reason: "ReadinessGate",
    message: `The readiness gate '${gate.conditionType}' keeps the Pod from being ready: ${cause}.`,
  }
}

const isServer = ({ name }: KeptContainerStatus): boolean => name === serverContainer

/** Another container that is not ready. If the server is ready, a container that only starts is reported too. */
const containerTrouble = (pod: KeptPod, now: number): OtherTrouble | undefined => {
  const containers = pod.status?.containerStatuses ?? []
  const sidecars = (pod.status?.initContainerStatuses ?? []).filter(({ state }) => state?.terminated?.exitCode !== 0)
  const unready = [...containers.filter((each) => !isServer(each)), ...sidecars].filter(({ ready }) => !ready)
  const answers = containers.find(isServer)?.ready === true
  const [first] = answers ? unready : []
  const found = withTrouble(unready, now) ?? (first && { name: first.name, trouble: "it starts" })
  if (found === undefined) return undefined
  const where = answers
    ? `The server answers; the container '${found.name}' beside it`
    : `The container '${found.name}'`
  const message = `${where} is not ready: ${found.trouble}.`
  return { reason: "ContainerNotReady", message }
}

/** What keeps a Pod from being Ready although its server has answered: a container, a gate, or the node. */
export const readyTrouble = (pod: KeptPod, now: number): OtherTrouble | undefined => {
  const other = containerTrouble(pod, now) ?? gateTrouble(pod)
  if (other !== undefined || !isTrue(pod, "ContainersReady")) return other
  const message = `The node ${pod.spec.nodeName ?? "of the Pod"} does not report: its Pods count as not ready until it reports again, or until other Pods replace them.`
  return { reason: "NodeNotReady", message }
}
