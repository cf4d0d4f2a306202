import { type Container, type ContainerStatus, type Pod, serverContainer } from "../api/kinds/pod.ts"
import type { ReadyReason } from "./reasons.ts"
import { moment } from "./start.ts"

/** What else than its server keeps a Pod from being Ready. */
type Bystander = { readonly reason: ReadyReason; readonly message: string }

/** Reasons whose words quote the container's command line or environment, which may hold a secret. */
const mayQuote = /^(?:Run|Create)Container/
/** What a container that is not started yet says in passing. */
const inPassing: readonly string[] = ["PodInitializing", "ContainerCreating"]
/** A container that must end, or start, may take so long before it is called a trouble. */
const patienceMs = 10_000

/** A container that crashes again and again runs in between, waits and ends: what it ended with stays true meanwhile. */
const crashOf = ({ state = {}, lastState, ready }: ContainerStatus): string | undefined => {
  const { waiting, terminated = lastState?.terminated } = state
  if (ready || terminated === undefined || terminated.exitCode === 0) return undefined
  const isBetween =
    waiting === undefined || waiting.reason === "CrashLoopBackOff" || inPassing.includes(waiting.reason ?? "")
  return isBetween ? `it ended with exit code ${terminated.exitCode}` : undefined
}

/** What is wrong with a container; undefined if nothing is, or not yet. */
const troubleOf = (status: ContainerStatus, now: number): string | undefined => {
  const { state = {}, ready } = status
  const { waiting, terminated, running } = state
  const crash = crashOf(status)
  if (crash !== undefined) return crash
  if (waiting !== undefined) {
    const { reason = "", message = "" } = waiting
    if (inPassing.includes(reason) || reason === "") return undefined
    return [reason, mayQuote.test(reason) ? "" : message]
      .filter((each) => each !== "")
      .join(": ")
      .slice(0, 400)
  }
  if (terminated !== undefined) return undefined
  const since = moment(running?.startedAt)
  return ready || since === undefined || now < since + patienceMs ? undefined : "it runs, and is not done or not ready"
}

const withTrouble = (statuses: readonly ContainerStatus[], now: number) => {
  for (const status of statuses) {
    const trouble = troubleOf(status, now)
    if (trouble !== undefined) return { name: status.name, trouble }
  }
  return undefined
}

/** A sidecar among the init containers, once it has started: what comes after it does not wait for it to be ready. */
const isStartedSidecar = ({ spec }: Pod, { name, started }: ContainerStatus): boolean =>
  started === true &&
  spec.initContainers?.some((each) => each.name === name && each.restartPolicy === "Always") === true

/** An init container that holds a Pod up: the server is not even started before it has done its work. */
export const initTrouble = (pod: Pod, now: number): Bystander | undefined => {
  const statuses = (pod.status?.initContainerStatuses ?? []).filter((each) => !isStartedSidecar(pod, each))
  const found = withTrouble(statuses, now)
  if (found === undefined) return undefined
  const message = `The init container '${found.name}' holds the Pod up: ${found.trouble}. Who adds it: a pod template, or a webhook?`
  return { reason: "InitContainerNotReady", message }
}

/** When the first init container that runs has taken too long; undefined if none will have. */
export const initTroubleAt = (pod: Pod, now: number): number | undefined => {
  const running = (pod.status?.initContainerStatuses ?? []).filter((each) => !isStartedSidecar(pod, each))
  const ends = running.map(({ state }) => (moment(state?.running?.startedAt) ?? 0) + patienceMs)
  const next = Math.min(...ends.filter((at) => at > now))
  return Number.isFinite(next) ? next : undefined
}

const isTrue = (pod: Pod, type: string): boolean =>
  pod.status?.conditions?.some((each) => each.type === type && each.status === "True") === true

const gateTrouble = (pod: Pod): Bystander | undefined => {
  const gate = pod.spec.readinessGates?.find(({ conditionType }) => !isTrue(pod, conditionType))
  if (gate === undefined) return undefined
  const { message = "" } = pod.status?.conditions?.find(({ type }) => type === gate.conditionType) ?? {}
  const words = message === "" ? "nobody has said that it is fulfilled" : message
  return {
    reason: "ReadinessGate",
    message: `The readiness gate '${gate.conditionType}' keeps the Pod back: ${words}.`,
  }
}

const isServer = ({ name }: ContainerStatus): boolean => name === serverContainer

/** Another container that is not ready; where the server is, it must be that even if nothing is wrong with it yet. */
const besideTrouble = (pod: Pod, now: number): Bystander | undefined => {
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

/** What keeps a Pod from being Ready whose server answers: another container, a readiness gate, or its node. */
export const readyTrouble = (pod: Pod, now: number): Bystander | undefined => {
  const other = besideTrouble(pod, now) ?? gateTrouble(pod)
  if (other !== undefined || !isTrue(pod, "ContainersReady")) return other
  const message = `The node ${pod.spec.nodeName ?? "of the Pod"} does not report: its Pods count as not ready until it does, or until others take their place.`
  return { reason: "NodeNotReady", message }
}

/** What may be repeated of the words in which the kubelet and the container runtime tell why a container did not start. */

/** Reasons whose words are written after `$(NAME)` was replaced, which may stand for a secret. */
const afterExpansion = new Set(["RunContainerError", "CreateContainerError", "CreateContainerConfigError"])

/** Words about a Secret that is missing or has no such key: they name it, and no value. */
const secretWords = /^(secret "[-.a-z0-9]+" not found|couldn't find key [-._a-zA-Z0-9]+ in Secret [-./a-z0-9]+)$/

/** What stands for words that are not repeated. */
const unrepeated = "its Pod's status tells, where $(NAME) may have become a secret"

const expands = ({ command = [], args = [], volumeMounts = [] }: Container): boolean =>
  JSON.stringify([command, args, volumeMounts]).includes("$(")

/**
 * `words` of a container that did not start for `reason`, as they may be repeated in status, Events, logs and answers. A
 * runtime quotes the program that it did not find, which is the first argument where the image has no entrypoint: where
 * the Pod has a `$(NAME)` in its command line, they are not repeated. The operator has no right to know what NAME is.
 */
export const repeatable = (pod: Pod, reason: string, words: string): string => {
  if (words === "" || !afterExpansion.has(reason) || secretWords.test(words)) return words
  const server = pod.spec.containers.find(({ name }) => name === serverContainer)
  return server === undefined || expands(server) ? unrepeated : words
}
