import { portOf } from "../api/kinds/container.ts"
import type { MCPInstanceSpec, MCPInstanceStatus } from "../api/kinds/mcp-instance.ts"
import { serverContainer } from "../api/kinds/pod.ts"
import { defaultResources } from "../api/units.ts"
import { lacksVolume, mountCheckFrom, waitsForBridgeImage } from "./bridge-state.ts"
import { atOnce, imageField, isAtOnce, userMessage } from "./container-faults.ts"
import { bridgeName } from "./desired/bridge.ts"
import type { KeptContainerStatus, KeptPod } from "./kept.ts"
import { repeatable } from "./kubelet-message.ts"
import { initTrouble, initTroubleAt, readyTrouble } from "./other-containers.ts"
import { failedInstall, installFailure, installingMessage, openInstaller, packageHint } from "./package-state.ts"
import type { ReadyReason } from "./reasons.ts"
import type { PodSight, Standing } from "./snapshot.ts"
import { moment } from "./time.ts"

/**
 * How long a sign of trouble that may end by itself (a failed pull, a first crash) may last before the start counts as
 * failed.
 */
const graceMs = 10_000
/** How long a container may stay terminated before the start counts as failed. */
const restartMs = 2_000
/** Longest time from the start of a server that has answered to Ready; after this its trouble is reported. */
const settlingMs = 30_000

/** What the state of a server depends on. */
type ServerFacts = {
  readonly pod: KeptPod
  readonly spec: MCPInstanceSpec
  /** Image of the server's container. */
  readonly image: string
  /** Why the start of this Pod failed, by the status; undefined if it has not failed. */
  readonly failure: MCPInstanceStatus["failure"]
  readonly sight: PodSight
  readonly startTimeoutMs: number
  readonly now: number
}

const cut = (text: string): string => (text.length <= 900 ? text : `${text.slice(0, 900)}…`)

const serverStatus = (pod: KeptPod): KeptContainerStatus | undefined =>
  pod.status?.containerStatuses?.find(({ name }) => name === serverContainer)

/** The container on which the start depends now: the installer of the package until it has ended well, then the server. */
const currentStatus = (pod: KeptPod): KeptContainerStatus | undefined => openInstaller(pod) ?? serverStatus(pod)

/** The Pod's condition of a type; undefined if it has none. */
export const podCondition = (pod: KeptPod, type: string) => pod.status?.conditions?.find((each) => each.type === type)

/** True if the Pod will never run again, even if its conditions and containers say otherwise (Pod lifecycle, Pod phase). */
const isOver = ({ status }: KeptPod): boolean => status?.phase === "Failed" || status?.phase === "Succeeded"

/** True if the kubelet says that the Pod can take requests. */
export const isPodReady = (pod: KeptPod | undefined): boolean =>
  pod !== undefined && !isOver(pod) && podCondition(pod, "Ready")?.status === "True"

/** True once the server has answered its startup probe since the last start of its container; false of a Pod that ended. */
export const hasStarted = (pod: KeptPod): boolean =>
  isPodReady(pod) || (!isOver(pod) && serverStatus(pod)?.started === true)

/** How often the kubelet restarted the server's container. */
export const restartsOf = (pod: KeptPod): number => serverStatus(pod)?.restartCount ?? 0

/** When the current server process was started, milliseconds since the epoch; undefined while none runs. */
export const runningSince = (pod: KeptPod): number | undefined => moment(serverStatus(pod)?.state?.running?.startedAt)

/** The kubelet's reasons for an image that it could not pull and will try again. */
const pulls = new Set(["ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "SignatureValidationFailed"])

const lastCrash = (pod: KeptPod) => {
  const status = serverStatus(pod)
  return status?.state?.terminated ?? status?.lastState?.terminated
}

/** The kind of trouble that a Pod shows and that may end by itself; sightings.ts measures how long it lasts. */
export const signOf = (pod: KeptPod): string | undefined => {
  const waiting = currentStatus(pod)?.state?.waiting?.reason ?? ""
  const copier = pod.status?.initContainerStatuses?.find(({ name }) => name === bridgeName)
  if (pulls.has(waiting) || pulls.has(copier?.state?.waiting?.reason ?? "")) return "pull"
  return !hasStarted(pod) && lastCrash(pod) !== undefined ? "crash" : undefined
}

/** Matches the kubelet's messages when it or the runtime is too busy: it tries again by itself, and mostly succeeds. */
const busyMessage = /^failed to sync (secret|configmap) cache|context deadline exceeded/

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

/** A Pod that will never run again: with restartPolicy Always only the node or the control plane can end a Pod. */
const lostPod = ({ pod }: ServerFacts): Standing | undefined => {
  const { phase, reason = "", message = "" } = pod.status ?? {}
  if (phase !== "Failed" && phase !== "Succeeded" && phase !== "Unknown" && reason !== "NodeLost") return undefined
  const unreachable = reason === "NodeLost" || (reason === "" && phase === "Unknown")
  const why: ReadyReason = unreachable ? "NodeLost" : reason === "Evicted" ? "Evicted" : "PodFailed"
  const detail = [reason, message].filter((each) => each !== "").join(": ") || `phase ${phase}`
  return {
    ready: false,
    lost: true,
    reason: why,
    message: cut(`The Pod is lost (${detail}); another one takes its place.`),
  }
}

const refusedContainer = (facts: ServerFacts): Standing | undefined => {
  const { pod } = facts
  const current = currentStatus(pod)
  const state = current?.state
  const ended = state?.terminated ?? current?.lastState?.terminated
  const idle = state?.running === undefined && !hasStarted(pod)
  const notRun = idle && (ended?.reason === "StartError" || ended?.reason === "ContainerCannotRun")
  const detail = (notRun ? ended?.message : state?.waiting?.message) ?? ""
  if (busyMessage.test(detail)) return undefined
  if (lacksVolume(pod, notRun ? "RunContainerError" : (state?.waiting?.reason ?? ""), detail))
    return failedNow("BridgeNotMounted", notMounted(repeatable(pod, "CreateContainerError", detail)))
  const said = notRun ? "RunContainerError" : (state?.waiting?.reason ?? "")
  const reason = said === "CreateContainerConfigError" && userMessage.test(detail) ? "ImageUserNotAllowed" : said
  return isAtOnce(reason) ? failedNow(reason, atOnce[reason](facts, repeatable(pod, reason, detail))) : undefined
}

const notMounted = (detail: string): string =>
  `The bridge's image volume is not mounted on this node (${detail || "unknown cause"}): set kubernetes.bridge.delivery to copy, or to auto.`

/** The image of the bridge that cannot be pulled: not a fault of the target. */
const failedBridgePull = ({ pod, image, sight, now }: ServerFacts): Standing | undefined => {
  const waiting = waitsForBridgeImage(pod, image)
  if (!pulls.has(waiting?.reason ?? "")) return undefined
  const detail = waiting?.message ?? ""
  const message =
    `The bridge's image cannot be pulled: check kubernetes.bridge.image and image_pull_secrets. ${detail}`.trim()
  const at = (sight.signAt ?? now) + graceMs
  return now >= at ? failedNow("BridgeImagePull", message) : waitingFor("BridgeImagePull", message, at)
}

const failedPull = ({ pod, spec, image, sight, failure, now }: ServerFacts): Standing | undefined => {
  const waiting = currentStatus(pod)?.state?.waiting
  if (!pulls.has(waiting?.reason ?? "")) return undefined
  const detail = waiting?.message ?? ""
  const where = spec.package === undefined ? "its name, its tag" : imageField(spec)
  const message = `The image ${image} cannot be pulled: check ${where} and imagePullSecrets. ${detail}`.trim()
  const at = (sight.signAt ?? now) + graceMs
  const keepsFailure = failure !== undefined && pulls.has(failure.reason)
  // the kubelet alternates between several messages for one cause: the first one is kept
  if (keepsFailure) return failedNow("ErrImagePull", failure.message)
  return now >= at ? failedNow("ErrImagePull", message) : waitingFor("ErrImagePull", message, at)
}

/** A package that could not be installed: told at once, although the kubelet tries again. */
const notInstalled = ({ pod, spec }: ServerFacts): Standing | undefined => {
  const ended = failedInstall(pod)
  if (ended === undefined || spec.package === undefined) return undefined
  return failedNow("PackageInstallFailed", installFailure(spec.package, ended), ended.exitCode)
}

const crashReasons = new Set(["CrashLoop", "OOMKilled"])

const crashMessage = (facts: ServerFacts, exitCode: number, oom: boolean): string => {
  const limit = facts.spec.resources?.limits?.memory ?? defaultResources.limits?.memory
  if (oom) return `The server used more memory than its limit of ${limit}: raise resources.limits.memory.`
  const code = exitCode === 0 ? "exit code 0, but must keep running" : `exit code ${exitCode}`
  return `The server process ended with ${code}. Look into its log, and check command, args, env and credentials. ${packageHint(facts.pod)}`.trim()
}

/**
 * A server that crashed: by its last termination, since its state alternates between running, terminated and waiting.
 */
const crashed = (facts: ServerFacts): Standing | undefined => {
  const { pod, sight, failure, now } = facts
  const ended = lastCrash(pod)
  if (ended === undefined || hasStarted(pod)) return undefined
  const state = serverStatus(pod)?.state
  const oom = ended.reason === "OOMKilled"
  const reason = oom ? "OOMKilled" : "CrashLoop"
  const message = crashMessage(facts, ended.exitCode, oom)
  const at = (sight.signAt ?? now) + (state?.terminated === undefined ? graceMs : restartMs)
  const keepsFailure = failure !== undefined && crashReasons.has(failure.reason)
  const final = keepsFailure || state?.waiting?.reason === "CrashLoopBackOff" || now >= at
  return final ? failedNow(reason, message, ended.exitCode) : waitingFor(reason, message, at)
}

const probeTrouble = ({ pod, sight, now }: ServerFacts): Standing | undefined => {
  // that finding is about the time before the server ran
  if (sight.probe === undefined || sight.probe.reason === "BridgeNotMounted") return undefined
  const since = runningSince(pod)
  const { reason, message } = sight.probe
  const past = since !== undefined && now >= since + graceMs && !hasStarted(pod)
  return reason === "HealthPathNotFound" && past ? failedNow(reason, message) : waitingFor(reason, message)
}

const unschedulable = (detail = "no reason given."): string =>
  `No node can take the Pod: ${detail} It starts as soon as one can: add a node, free room, or ask for less in resources.`

/** The state of a start that has not failed: what it waits for. */
const progress = (facts: ServerFacts): Standing => {
  const { pod, now } = facts
  const scheduled = podCondition(pod, "PodScheduled")
  if (scheduled?.status === "False" && scheduled.reason === "Unschedulable")
    return waitingFor("Unschedulable", unschedulable(scheduled.message))
  const server = serverStatus(pod)
  const { reason: waiting, message: detail = "" } = currentStatus(pod)?.state?.waiting ?? {}
  if (busyMessage.test(detail)) {
    const said = repeatable(pod, waiting ?? "", detail)
    return waitingFor("ContainerCreating", `The node could not set up the container yet, and tries again: ${said}.`)
  }
  // the kubelet's word for an init container whose volumes it mounts
  const isSetUp = waiting === (openInstaller(pod) === undefined ? "ContainerCreating" : "PodInitializing")
  if (isSetUp && facts.sight.probe?.reason === "BridgeNotMounted")
    return waitingFor("BridgeNotMounted", facts.sight.probe.message)
  if (facts.spec.package !== undefined && openInstaller(pod)?.state?.running !== undefined)
    return waitingFor("Installing", installingMessage(facts.spec.package))
  const mayInitialize = server === undefined || waiting === "PodInitializing"
  const init = mayInitialize ? initTrouble(pod, now) : undefined
  const until = initTroubleAt(pod, now)
  if (init !== undefined) return waitingFor(init.reason, init.message)
  // a scheduled Pod without container status is being set up by its node
  const isBeingSetUp = server === undefined && scheduled?.status === "True"
  if (isBeingSetUp || waiting === "ContainerCreating" || waiting === "PodInitializing")
    return waitingFor("ContainerCreating", "The node sets up the container and pulls its image.", until)
  const trouble = probeTrouble(facts)
  if (!hasStarted(pod)) return trouble ?? waitingFor("Starting", "The server is starting.")
  // Ready follows the first answer soon: another reason for this moment would cost a write
  const at = (runningSince(pod) ?? now) + settlingMs
  if (now < at) return { ...(trouble ?? waitingFor("Starting", "The server is starting.")), until: at }
  const other = readyTrouble(pod, now)
  if (other !== undefined) return waitingFor(other.reason, other.message)
  return waitingFor(
    "NotReady",
    "The server runs, but does not answer its readiness probe: look into its log, and restart the instance if it hangs.",
  )
}

/** A start that exceeded startTimeout. After that failure the kubelet's kill of the container is no crash. */
const timedOut = (facts: ServerFacts): Standing | undefined => {
  const { pod, sight, failure, startTimeoutMs, now } = facts
  const created = moment(pod.metadata.creationTimestamp) ?? sight.seenAt
  if (hasStarted(pod) || now < created + startTimeoutMs) return undefined
  if (failure?.reason !== "StartTimeout" && lastCrash(pod) !== undefined) return undefined
  const seconds = Math.round(startTimeoutMs / 1000)
  const state = progress(facts)
  const detail =
    state.reason === "Starting" ? `nothing answered at port ${portOf(facts.spec)}. Look into its log.` : state.message
  return failedNow("StartTimeout", `The server did not become ready within ${seconds} s (startTimeout): ${detail}`)
}

/** The checks of a Pod's state, from the most certain to the least. */
const causes: readonly ((facts: ServerFacts) => Standing | undefined)[] = [
  lostPod,
  (facts) =>
    isPodReady(facts.pod) ? { ready: true, reason: "Ready", message: "The server takes requests." } : undefined,
  refusedContainer,
  failedBridgePull,
  failedPull,
  notInstalled,
  timedOut,
  crashed,
]

/** The state of the server in a Pod. Pure. */
export const judge = (facts: ServerFacts): Standing => {
  for (const cause of causes) {
    const standing = cause(facts)
    if (standing !== undefined) return standing
  }
  const standing = progress(facts)
  if (standing.failed !== undefined || hasStarted(facts.pod)) return standing
  const created = moment(facts.pod.metadata.creationTimestamp) ?? facts.sight.seenAt
  return { ...standing, until: standing.until ?? created + facts.startTimeoutMs }
}

/** How often the kubelet's Events about a failing startup probe are read. */
export const probeCheckMs = 30_000

/**
 * From when on the cause of a failing startup probe, or of a bridge that is not mounted, should be read; undefined if the
 * server has answered, or nothing is amiss.
 */
export const probeFailureFrom = (pod: KeptPod | undefined): number | undefined => {
  if (pod === undefined || hasStarted(pod)) return undefined
  const since = runningSince(pod)
  return since === undefined ? mountCheckFrom(pod) : since + graceMs
}
