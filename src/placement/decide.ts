import { annotationOf, findCondition, isTrue } from "../api/kinds/kind.ts"
import type { MCPInstance } from "../api/kinds/mcp-instance.ts"
import { labels } from "../api/names.ts"
import { isCancellable } from "../signals/drain.ts"
import { asksForRestart } from "../signals/restart.ts"

/** What a request asks for: whose instance, and with which credentials. */
export type Wanted = {
  /** As in {@link PlacementRequest}: `create` may create an instance, `find` may not. */
  readonly mode: "create" | "find"
  readonly targetUID: string
  readonly subjectKey: string
  /** The scope Secrets that apply to the identity now, in the form of the instance's annotation. */
  readonly scopes: string
  /** True if the message belongs to an open call (a response, a cancellation): it is sent during a drain too. */
  readonly continues: boolean
}

/** Everything that a decision depends on. */
export type Snapshot = {
  /** The newest state known; undefined = no such instance is known. */
  readonly instance: MCPInstance | undefined
  /** False while the cache may be stale: then a read of the API server must confirm it before a request is sent. */
  readonly trusted: boolean
  /** True if an address of this incarnation has answered a probe of this replica and may be used for this request. */
  readonly reachable: boolean
}

/** Why a request waits; reason and message are in the error if the hold times out. */
export type Hold = {
  readonly verdict: "hold"
  readonly reason: string
  readonly message: string
  /** What to do meanwhile: ask for a restart, probe the addresses, or confirm the cache by a read. Absent = nothing. */
  readonly act?: "restart" | "probe" | "confirm"
  /** True if waiting counts as use: an in-use mark then keeps the operator from deleting the instance. */
  readonly counts: boolean
  /** True if the in-use mark must be written at once, because it cancels a drain. */
  readonly urgent?: boolean
  /** True if the instance waits for a place under the limits: the hold then times out with CapacityExceeded (429). */
  readonly queued?: boolean
}

/** Why an instance cannot run. */
export type Failure = { readonly reason: string; readonly message: string; readonly exitCode?: number }

/** What to do with a request now. */
export type Decision =
  | Hold
  /** The instance takes the request. */
  | { readonly verdict: "warm" }
  /** No instance is known: create one. */
  | { readonly verdict: "create" }
  /** No instance is known, and this request may not create one. */
  | { readonly verdict: "gone" }
  /** An object of this name belongs to another sharer or target. */
  | { readonly verdict: "conflict" }
  | { readonly verdict: "full"; readonly message: string }
  | { readonly verdict: "failed"; readonly failure: Failure }

type Check = (instance: MCPInstance, wanted: Wanted, snapshot: Snapshot) => Decision | undefined

/**
 * The instance's name has a digest, which may collide: so the subject key and the target's UID are compared in full.
 */
const stranger: Check = ({ spec }, wanted) =>
  spec.subjectKey === wanted.subjectKey && spec.targetUID === wanted.targetUID ? undefined : { verdict: "conflict" }

const stale: Check = (_instance, _wanted, { trusted }) =>
  trusted
    ? undefined
    : {
        verdict: "hold",
        reason: "CacheStale",
        message: "The instance is being read from the cluster again.",
        act: "confirm",
        counts: false,
      }

/**
 * Being deleted: the request waits for the end, and then creates a new instance. An in-use mark would have no effect.
 */
const terminating: Check = ({ metadata }) =>
  metadata.deletionTimestamp === undefined
    ? undefined
    : { verdict: "hold", reason: "Terminating", message: "The previous instance is ending.", counts: false }

const draining: Check = ({ status }, { continues }) => {
  const condition = findCondition(status?.conditions, "Draining")
  if (condition?.status !== "True" || continues) return undefined
  // a drain that cannot be cancelled goes on to its end: an in-use mark of ours would only delay the end
  const cancels = isCancellable(condition.reason)
  return {
    verdict: "hold",
    reason: "Draining",
    message: `The instance is being replaced (${condition.reason}).`,
    counts: cancels,
    urgent: cancels,
  }
}

/** The identity has other scope Secrets than the instance was created with. */
const otherCredentials: Check = (instance, { scopes, continues }) => {
  // undefined if a person applied the instance by hand
  const record = annotationOf(instance, labels.credentialScopes)
  if (record === undefined || record === scopes || continues) return undefined
  return {
    verdict: "hold",
    reason: "CredentialsChanged",
    message: "The instance is being replaced by one with the credentials that apply now.",
    ...(asksForRestart(instance) ? {} : { act: "restart" as const }),
    counts: false,
  }
}

/** A restart was asked for and the operator has not begun to drain yet. */
const restarting: Check = (instance, { continues }) =>
  !asksForRestart(instance) || continues || hasSeen(instance.status?.observedGeneration, instance.metadata.generation)
    ? undefined
    : { verdict: "hold", reason: "Restarting", message: "The instance is being restarted.", counts: false }

const hasSeen = (observed: number | undefined, generation: number | undefined): boolean =>
  observed === undefined || generation === undefined || observed >= generation

const admission: Check = ({ status }) => {
  const admitted = findCondition(status?.conditions, "Admitted")
  if (admitted?.status !== "False") return undefined
  if (admitted.reason === "QueueFull") return { verdict: "full", message: admitted.message }
  if (status?.phase === "Failed")
    return { verdict: "failed", failure: { reason: admitted.reason, message: admitted.message } }
  return { verdict: "hold", reason: "Queued", message: admitted.message, counts: true, queued: true }
}

/**
 * The failure of the current start; undefined if there is none. A failure counts while the phase is Failed, Ready is
 * False, the status was computed from the current spec, and the failure is not older than the current start. With a new
 * start (another phase, or a later startTime) or a changed spec the failure belongs to an earlier start, and the
 * request waits.
 */
export const currentFailure = ({ metadata, status }: MCPInstance): Failure | undefined => {
  if (status?.phase !== "Failed") return undefined
  const ready = findCondition(status.conditions, "Ready")
  if (ready?.status === "True" || !hasSeen(status.observedGeneration, metadata.generation)) return undefined
  const { failure, startTime } = status
  if (failure === undefined)
    return { reason: ready?.reason ?? "Failed", message: ready?.message ?? "The instance could not be started." }
  const earlier =
    failure.time !== undefined && startTime !== undefined && Date.parse(failure.time) < Date.parse(startTime)
  if (earlier) return undefined
  const { reason, message, exitCode } = failure
  return { reason, message, ...(exitCode === undefined ? {} : { exitCode }) }
}

const failed: Check = (instance) => {
  const failure = currentFailure(instance)
  return failure === undefined ? undefined : { verdict: "failed", failure }
}

const unaddressed: Check = ({ status }) => {
  if (status?.incarnation !== undefined && (status.podURL ?? status.url) !== undefined) return undefined
  const ready = findCondition(status?.conditions, "Ready")
  return {
    verdict: "hold",
    reason: ready?.reason ?? "Pending",
    message: ready?.message ?? "The instance has not been started yet.",
    counts: true,
  }
}

const unreached: Check = ({ status }, _wanted, { reachable }) => {
  if (reachable) return undefined
  const ready = findCondition(status?.conditions, "Ready")
  const silent = ready === undefined || isTrue(status?.conditions, "Ready")
  return {
    verdict: "hold",
    reason: silent ? "NotReachable" : ready.reason,
    message: silent ? "The server's port does not answer yet." : ready.message,
    act: "probe",
    counts: true,
  }
}

/** The checks, in order: the first that returns a decision decides. */
const checks: readonly Check[] = [
  stranger,
  stale,
  terminating,
  draining,
  otherCredentials,
  restarting,
  admission,
  failed,
  unaddressed,
  unreached,
]

/** Decides what to do with a request. Pure. */
export const decidePlacement = (snapshot: Snapshot, wanted: Wanted): Decision => {
  const { instance } = snapshot
  if (instance === undefined) return { verdict: wanted.mode === "create" ? "create" : "gone" }
  for (const check of checks) {
    const decision = check(instance, wanted, snapshot)
    if (decision !== undefined) return decision
  }
  return { verdict: "warm" }
}
