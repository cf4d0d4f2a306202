import { idleEntries } from "../api/access-entries.ts"
import { overExpanded } from "../api/expansion.ts"

import { type Condition, findCondition, withCondition } from "../api/kinds/kind.ts"
import type { MCPInstance } from "../api/kinds/mcp-instance.ts"
import { type MCPTarget, MCPTargetSpec, type MCPTargetStatus, mcpTargetKind } from "../api/kinds/mcp-target.ts"
import { isRemote } from "../api/kinds/remote.ts"
import { mergePatchBetween } from "../api/patch.ts"
import { findRemoteFaults } from "../api/remote-declarations.ts"
import { hasCode } from "../errors.ts"
import type { ClusterPort, MergePatch } from "../ports/cluster.ts"
import type { ProbeResult } from "../ports/remote-probe.ts"
import type { Logger } from "../ports/telemetry.ts"
import { refresh } from "./act.ts"
import { noBridge } from "./desired/bridge.ts"
import { belowFloor } from "./desired/permissions.ts"
import type { acceptedReasons, accessReasons, availableReasons } from "./reasons.ts"
import { isProbeReason, remoteAvailability } from "./remote/availability.ts"
import type { Settings } from "./snapshot.ts"
import { stamp } from "./time.ts"
import type { View } from "./view.ts"

/** How long changes of instances are collected before the counts of their target are written. */
export const countDebounceMs = 5_000

/** Input of a target's status. */
type TargetSnapshot = {
  readonly target: MCPTarget
  /** The instances whose spec names the target. */
  readonly instances: readonly MCPInstance[]
  readonly settings: Settings
  /** What the last probe of a remote target's server found; undefined before the first one, and for other targets. */
  readonly probed?: ProbeResult | undefined
  readonly now: number
}

type Judgement<Reason extends string> = Pick<Condition, "status" | "message"> & { readonly reason: Reason }
type Accepted = Judgement<(typeof acceptedReasons)[number]>
type Available = Judgement<(typeof availableReasons)[number]>
type Resolved = Judgement<(typeof accessReasons)[number]>

const no = <Reason extends string>(reason: Reason, message: string): Judgement<Reason> => ({
  status: "False",
  reason,
  message: message.slice(0, 900),
})

const accepted = ({ target, settings }: TargetSnapshot): Accepted => {
  const parsed = MCPTargetSpec.safeParse(target.spec)
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    return no("InvalidSpec", `spec.${issue?.path.join(".")}: ${issue?.message ?? "invalid"}`)
  }
  const [fault] = settings.pluginFaults(target.spec)
  if (fault !== undefined) return no(fault.reason, fault.message)
  return isRemote(target) ? acceptedRemote(target) : acceptedToRun(target, settings)
}

/** Nothing of a remote server runs here: only what its requests carry can be wrong. */
const acceptedRemote = ({ spec }: MCPTarget): Accepted => {
  const [fault] = findRemoteFaults(spec)
  if (fault !== undefined) return no("InvalidSpec", `spec.${fault.path}: ${fault.message}`)
  return { status: "True", reason: "Accepted", message: "Requests can be sent to its server." }
}

const acceptedToRun = (target: MCPTarget, settings: Settings): Accepted => {
  const bridgeless = noBridge(target.spec, settings)
  if (bridgeless !== undefined) return no("InvalidSpec", bridgeless)
  const below = belowFloor(target.spec, settings)
  if (below !== undefined) return no("PodForbidden", `${below}: kubernetes.pod_security is ${settings.pod_security}.`)
  const expanded = overExpanded(target.spec)
  if (expanded !== undefined) return no("InvalidSpec", expanded)
  return { status: "True", reason: "Accepted", message: "Its instances can be made." }
}

const available = ({ target, instances, probed }: TargetSnapshot, verdict: Accepted): Available => {
  if (verdict.status === "False") return no("NotAccepted", verdict.message)
  if (target.spec.paused === true) return no("Paused", "It is paused: requests are refused.")
  if (isRemote(target)) return remoteAvailability(target, probed)
  const failed = instances.filter(({ status }) => status?.phase === "Failed")
  if (failed.length > 0 && failed.length === instances.length) {
    const failure = failed[0]?.status?.failure
    return no("AllInstancesFail", `${failure?.reason ?? "Failed"}: ${failure?.message ?? "see its instances"}`)
  }
  return { status: "True", reason: "Available", message: "Requests are taken." }
}

/** Most entries that the condition's message names. */
const mostEntries = 3

/** The condition AccessResolved; undefined if the issuers are not known to this process. */
const accessResolved = ({ target, settings }: TargetSnapshot): Resolved | undefined => {
  if (settings.knownIssuers === undefined) return undefined
  const idle = idleEntries(target.spec.access, settings.knownIssuers)
  if (idle.length === 0)
    return { status: "True", reason: "AccessResolved", message: "Every entry of its access lists can match somebody." }
  const more = idle.length > mostEntries ? ` ${idle.length - mostEntries} more are like that.` : ""
  const some = idle.slice(0, mostEntries).map(({ message }) => message)
  return no("EntryMatchesNobody", `${some.join(" ")}${more}`)
}

/** The wanted status of a target. Pure; equal input gives an equal status. */
export const targetStatus = (snapshot: TargetSnapshot): MCPTargetStatus => {
  const { target, instances, now } = snapshot
  const observedGeneration = target.metadata.generation
  const isAccepted = accepted(snapshot)
  const generation = observedGeneration === undefined ? {} : { observedGeneration }
  const isResolved = accessResolved(snapshot)
  const conditions = [
    { type: "Accepted", ...isAccepted, ...generation },
    { type: "Available", ...available(snapshot, isAccepted), ...generation },
    ...(isResolved === undefined ? [] : [{ type: "AccessResolved", ...isResolved, ...generation }]),
  ].reduce<readonly Condition[]>(
    (before, each) => withCondition(before, each, stamp(now)),
    target.status?.conditions ?? [],
  )
  const count = (phase: string) => instances.filter(({ status }) => status?.phase === phase).length
  return {
    ...target.status,
    conditions: [...conditions],
    instances: instances.length,
    ready: count("Ready"),
    failed: count("Failed"),
    observedGeneration,
  }
}

/** Dependencies of a reconcile of targets. */
type TargetDeps = {
  readonly cluster: ClusterPort
  readonly namespace: string
  readonly targets: View<MCPTarget>
  readonly instances: View<MCPInstance>
  readonly settings: Settings
  /** What is known of the server of a remote target. */
  readonly probedOf: (target: MCPTarget) => ProbeResult | undefined
  readonly now: () => number
  readonly log: Logger
}

/** The instances whose spec names a target. */
export const instancesOf = (instances: View<MCPInstance>, targetName: string): MCPInstance[] =>
  [...instances.items()].filter(({ spec }) => spec.targetName === targetName)

const write = async (deps: TargetDeps, target: MCPTarget, patch: MergePatch, signal: AbortSignal): Promise<void> => {
  const { cluster, namespace, targets } = deps
  const { name, uid } = target.metadata
  const body = { status: patch, ...(uid === undefined ? {} : { metadata: { uid } }) }
  try {
    targets.learn(await cluster.patchStatus(mcpTargetKind, { namespace, name }, body, { signal }))
  } catch (error) {
    if (!hasCode(error, "ApiConflict", "ApiNotFound")) throw error
    await refresh({ cluster, namespace, signal }, mcpTargetKind, targets, name)
  }
}

/** Logs each new fault of a target once, for users of `--role dev`, who do not read conditions. */
const logFaults = ({ log }: TargetDeps, { metadata: { name }, status }: MCPTarget, next: MCPTargetStatus): void => {
  for (const type of ["Accepted", "AccessResolved", "Available"]) {
    const [before, now] = [status, next].map((each) => findCondition(each?.conditions, type))
    if (now?.status !== "False" || now.message === before?.message) continue
    // other reasons of Available are told elsewhere: by Accepted, by instances, or by who has paused the target
    if (type === "Available" && !isProbeReason(now.reason)) continue
    log.warn("a target has a fault", { target: name, condition: type, reason: now.reason, note: now.message })
  }
}

/**
 * Writes the status of a target if it changed. Rejects with the cluster's error; undefined = no next time is planned.
 */
export const reconcileTarget = async (deps: TargetDeps, name: string, signal: AbortSignal): Promise<undefined> => {
  const target = deps.targets.get(name)
  if (target === undefined || target.metadata.deletionTimestamp !== undefined) return undefined
  const instances = instancesOf(deps.instances, name)
  const { settings, probedOf, now } = deps
  const next = targetStatus({ target, instances, settings, probed: probedOf(target), now: now() })
  const patch = mergePatchBetween(target.status ?? {}, next)
  if (patch === undefined) return undefined
  await write(deps, target, patch, signal)
  logFaults(deps, target, next)
  return undefined
}
