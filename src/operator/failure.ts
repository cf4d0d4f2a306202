import type { MCPInstanceSpec, MCPInstanceStatus } from "../api/mcp-instance.ts"
import { type ContainerStatus, type Pod, serverContainer } from "../api/pod.ts"
import { defaultResources } from "../api/quantity.ts"
import { initTrouble, initTroubleAt, readyTrouble } from "./bystanders.ts"
import { repeatable } from "./kubelet-words.ts"
import type { ReadyReason } from "./reasons.ts"
import type { PodSight, Standing } from "./snapshot.ts"
import { moment } from "./time.ts"

/** How long a sign that may heal by itself (a failed pull, a first crash) is watched before the start counts as failed. */
export const graceMs = 10_000
/** How long a container may stay terminated before that is called a crash for good. */
const restartMs = 2_000
/** A server that has answered becomes Ready within this time after its start, or something is wrong with it. */
const settlingMs = 30_000

/** What the judgement of a Pod rests on. */
export type Patient = {
  readonly pod: Pod
  readonly spec: MCPInstanceSpec
  /** Why the start failed, as the status has it; of this Pod. */
  readonly failure: MCPInstanceStatus["failure"]
  readonly sight: PodSight
  readonly startTimeoutMs: number
  readonly now: number
}

const cut = (text: string): string => (text.length <= 900 ? text : `${text.slice(0, 900)}…`)

const serverStatus = (pod: Pod): ContainerStatus | undefined =>
  pod.status?.containerStatuses?.find(({ name }) => name === serverContainer)

/** The Pod's condition of a type. */
export const podCondition = (pod: Pod, type: string) => pod.status?.conditions?.find((each) => each.type === type)

/** True if the Pod will never run again, whatever its conditions and containers were told last (Pod lifecycle, Pod phase). */
const isOver = ({ status }: Pod): boolean => status?.phase === "Failed" || status?.phase === "Succeeded"

/** True if the kubelet says that the Pod can take requests. */
export const isPodReady = (pod: Pod | undefined): boolean =>
  pod !== undefined && !isOver(pod) && podCondition(pod, "Ready")?.status === "True"

/** True once the server has answered its startup probe in this life of its container, and while the Pod has not ended. */
export const hasStarted = (pod: Pod): boolean =>
  isPodReady(pod) || (!isOver(pod) && serverStatus(pod)?.started === true)

/** How often the kubelet restarted the server. */
export const restartsOf = (pod: Pod): number => serverStatus(pod)?.restartCount ?? 0

/** When this life of the server process began; undefined while none runs. */
export const runningSince = (pod: Pod): number | undefined => moment(serverStatus(pod)?.state?.running?.startedAt)

/** The kubelet's reasons for an image that it could not pull; it goes on trying. */
const pulls = new Set(["ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "SignatureValidationFailed"])

const lastCrash = (pod: Pod) => {
  const status = serverStatus(pod)
  return status?.state?.terminated ?? status?.lastState?.terminated
}

/** The kind of trouble that a Pod shows and that may pass, for measuring how long it lasts. */
export const signOf = (pod: Pod): string | undefined => {
  const waiting = serverStatus(pod)?.state?.waiting?.reason ?? ""
  if (pulls.has(waiting)) return "pull"
  return !hasStarted(pod) && lastCrash(pod) !== undefined ? "crash" : undefined
}

type Explain = (spec: MCPInstanceSpec, words: string) => string

/** Reasons of a waiting container that no waiting cures, each with what to do. */
const atOnce = {
  InvalidImageName: (spec) => `'${spec.image}' is no image name: correct the target's image.`,
  ErrImageNeverPull: (spec, words) =>
    words || `The image ${spec.image} is not on the node and imagePullPolicy is Never: load it there or allow pulling.`,
  CreateContainerConfigError: (_, words) => {
    const mend = /^secret .*not found$/.test(words) ? "Create that Secret, or correct secretName" : "Mend that"
    return `The container cannot be set up: ${words || "unknown cause"}. ${mend}; the server then starts by itself.`
  },
  ImageUserNotAllowed: (_, words) =>
    `The image wants a user that is not allowed (${words}): set security.runAsUser to a numeric id other than 0.`,
  RunContainerError: (_, words) =>
    `The container could not be run: ${words || "unknown cause"}. Check the target's command and args.`,
  CreateContainerError: (_, words) =>
    `The container could not be made: ${words || "unknown cause"}. Look at the Pod's Events and at its node.`,
  ImageInspectError: (spec, words) =>
    `The image ${spec.image} cannot be read on the node: ${words || "unknown cause"}. Remove it there, or use another tag.`,
} satisfies Partial<Record<ReadyReason, Explain>>

const isAtOnce = (reason: string): reason is keyof typeof atOnce => Object.hasOwn(atOnce, reason)

/** The kubelet's words about a user that runAsNonRoot forbids. */
const userWords = /runAsNonRoot|non-numeric user|run as root/

/** The kubelet's words when it or the runtime is too busy: it tries again by itself, and mostly succeeds. */
const busyWords = /^failed to sync (secret|configmap) cache|context deadline exceeded/

const failedNow = (reason: ReadyReason, message: string, exitCode?: number): Standing => ({
  ready: false,
  reason,
  message: cut(message),
  failed: exitCode === undefined ? {} : { exitCode },
})
const waitingFor = (reason: ReadyReason, message: string, until?: number): Standing => ({
  ready: false,
  reason,
  message: cut(message),
  ...(until === undefined ? {} : { until }),
})

/** The Pod ended for good: restartPolicy Always never ends one, so the node or the control plane did. */
const lostPod = ({ pod }: Patient): Standing | undefined => {
  const { phase, reason = "", message = "" } = pod.status ?? {}
  if (phase !== "Failed" && phase !== "Succeeded" && phase !== "Unknown" && reason !== "NodeLost") return undefined
  const unreachable = reason === "NodeLost" || (reason === "" && phase === "Unknown")
  const why: ReadyReason = unreachable ? "NodeLost" : reason === "Evicted" ? "Evicted" : "PodFailed"
  const words = [reason, message].filter((each) => each !== "").join(": ") || `phase ${phase}`
  return {
    ready: false,
    lost: true,
    reason: why,
    message: cut(`The Pod is lost (${words}); another one takes its place.`),
  }
}

const refusedContainer = ({ pod, spec }: Patient): Standing | undefined => {
  const state = serverStatus(pod)?.state
  const ended = state?.terminated ?? serverStatus(pod)?.lastState?.terminated
  const idle = state?.running === undefined && !hasStarted(pod)
  const notRun = idle && (ended?.reason === "StartError" || ended?.reason === "ContainerCannotRun")
  const words = (notRun ? ended?.message : state?.waiting?.message) ?? ""
  if (busyWords.test(words)) return undefined
  const said = notRun ? "RunContainerError" : (state?.waiting?.reason ?? "")
  const reason = said === "CreateContainerConfigError" && userWords.test(words) ? "ImageUserNotAllowed" : said
  return isAtOnce(reason) ? failedNow(reason, atOnce[reason](spec, repeatable(pod, reason, words))) : undefined
}

const failedPull = ({ pod, spec, sight, failure, now }: Patient): Standing | undefined => {
  const waiting = serverStatus(pod)?.state?.waiting
  if (!pulls.has(waiting?.reason ?? "")) return undefined
  const words = waiting?.message ?? ""
  const message =
    `The image ${spec.image} cannot be pulled: check its name, its tag and imagePullSecrets. ${words}`.trim()
  const at = (sight.signAt ?? now) + graceMs
  const sticks = failure !== undefined && pulls.has(failure.reason)
  // the kubelet goes to and fro between its words for one cause: the first ones stay
  if (sticks) return failedNow("ErrImagePull", failure.message)
  return now >= at ? failedNow("ErrImagePull", message) : waitingFor("ErrImagePull", message, at)
}

const crashReasons = new Set(["CrashLoop", "OOMKilled"])

const crashMessage = (patient: Patient, exitCode: number, oom: boolean): string => {
  const limit = patient.spec.resources?.limits?.memory ?? defaultResources.limits?.memory
  if (oom) return `The server used more memory than its limit of ${limit}: raise resources.limits.memory.`
  const code = exitCode === 0 ? "exit code 0, but must keep running" : `exit code ${exitCode}`
  return `The server process ended with ${code}. Look into its log, and check command, args, env and credentials.`
}

/** Keyed on the last termination, since a crashing container's state flaps between running, terminated and waiting. */
const crashed = (patient: Patient): Standing | undefined => {
  const { pod, sight, failure, now } = patient
  const ended = lastCrash(pod)
  if (ended === undefined || hasStarted(pod)) return undefined
  const state = serverStatus(pod)?.state
  const oom = ended.reason === "OOMKilled"
  const reason = oom ? "OOMKilled" : "CrashLoop"
  const message = crashMessage(patient, ended.exitCode, oom)
  const at = (sight.signAt ?? now) + (state?.terminated === undefined ? graceMs : restartMs)
  const sticks = failure !== undefined && crashReasons.has(failure.reason)
  const final = sticks || state?.waiting?.reason === "CrashLoopBackOff" || now >= at
  return final ? failedNow(reason, message, ended.exitCode) : waitingFor(reason, message, at)
}

const probeTrouble = ({ pod, sight, now }: Patient): Standing | undefined => {
  if (sight.probe === undefined) return undefined
  const since = runningSince(pod)
  const { reason, message } = sight.probe
  const past = since !== undefined && now >= since + graceMs && !hasStarted(pod)
  return reason === "HealthPathNotFound" && past ? failedNow(reason, message) : waitingFor(reason, message)
}

const unschedulable = (words = "no reason given."): string =>
  `No node can take the Pod: ${words} It starts as soon as one can: add a node, free room, or ask for less in resources.`

/** What a start that has not failed waits for. */
const progress = (patient: Patient): Standing => {
  const { pod, now } = patient
  const scheduled = podCondition(pod, "PodScheduled")
  if (scheduled?.status === "False" && scheduled.reason === "Unschedulable")
    return waitingFor("Unschedulable", unschedulable(scheduled.message))
  const server = serverStatus(pod)
  const { reason: waiting, message: words = "" } = server?.state?.waiting ?? {}
  if (busyWords.test(words)) {
    const said = repeatable(pod, waiting ?? "", words)
    return waitingFor("ContainerCreating", `The node could not set up the container yet, and tries again: ${said}.`)
  }
  const mayInitialize = server === undefined || waiting === "PodInitializing"
  const init = mayInitialize ? initTrouble(pod, now) : undefined
  const until = initTroubleAt(pod, now)
  if (init !== undefined) return waitingFor(init.reason, init.message)
  // a node that has taken the Pod and tells nothing yet is setting it up
  const untold = server === undefined && scheduled?.status === "True"
  if (untold || waiting === "ContainerCreating" || waiting === "PodInitializing")
    return waitingFor("ContainerCreating", "The node sets up the container and pulls its image.", until)
  const trouble = probeTrouble(patient)
  if (!hasStarted(pod)) return trouble ?? waitingFor("Starting", "The server is starting.")
  // between its first answer and Ready lies a moment: not worth a word, which would be a write
  const at = (runningSince(pod) ?? now) + settlingMs
  if (now < at) return { ...(trouble ?? waitingFor("Starting", "The server is starting.")), until: at }
  const other = readyTrouble(pod, now)
  if (other !== undefined) return waitingFor(other.reason, other.message)
  return waitingFor(
    "NotReady",
    "The server runs, but does not answer its readiness probe: look into its log, and restart the instance if it hangs.",
  )
}

/** Past startTimeout without an answer. A kubelet that gives up at the same time kills the container: no crash. */
const timedOut = (patient: Patient): Standing | undefined => {
  const { pod, sight, failure, startTimeoutMs, now } = patient
  const created = moment(pod.metadata.creationTimestamp) ?? sight.seenAt
  if (hasStarted(pod) || now < created + startTimeoutMs) return undefined
  if (failure?.reason !== "StartTimeout" && lastCrash(pod) !== undefined) return undefined
  const seconds = Math.round(startTimeoutMs / 1000)
  const state = progress(patient)
  const words =
    state.reason === "Starting" ? `nothing answered at port ${patient.spec.port}. Look into its log.` : state.message
  return failedNow("StartTimeout", `The server did not become ready within ${seconds} s (startTimeout): ${words}`)
}

/** The causes of trouble, from the most certain to the least. */
const causes: readonly ((patient: Patient) => Standing | undefined)[] = [
  lostPod,
  (patient) =>
    isPodReady(patient.pod) ? { ready: true, reason: "Ready", message: "The server takes requests." } : undefined,
  refusedContainer,
  failedPull,
  timedOut,
  crashed,
]

/** How the server in this Pod stands. */
export const judge = (patient: Patient): Standing => {
  for (const cause of causes) {
    const standing = cause(patient)
    if (standing !== undefined) return standing
  }
  const standing = progress(patient)
  if (standing.failed !== undefined || hasStarted(patient.pod)) return standing
  const created = moment(patient.pod.metadata.creationTimestamp) ?? patient.sight.seenAt
  return { ...standing, until: standing.until ?? created + patient.startTimeoutMs }
}
