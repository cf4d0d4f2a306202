import { annotationOf, findCondition, isTrue } from "../api/kinds/kind.ts"
import type { MCPInstance } from "../api/kinds/mcp-instance.ts"
import { labels } from "../api/names.ts"
import { isCancellable } from "../signals/drain.ts"
import { asksForRestart } from "../signals/restart.ts"

/** Whom the instance must belong to, and how it is wanted. */
export type Wanted = {
  readonly mode: "create" | "find"
  readonly targetUID: string
  readonly subjectKey: string
  /** The scope Secrets that the identity yields now, as an instance records them. */
  readonly scopes: string
  /** True if the message belongs to a call that is open already (an answer, a cancellation): a drain lets it through. */
  readonly continues: boolean
}

/** Everything that a decision rests on. */
export type Snapshot = {
  /** The freshest state known; undefined = there is none. */
  readonly instance: MCPInstance | undefined
  /** False while the cache may be stale: nothing is sent on its word alone. */
  readonly trusted: boolean
  /** True if this incarnation has answered a probe of this replica. */
  readonly reachable: boolean
}

/** Why a request waits, for the answer at the end of the hold. */
export type Hold = {
  readonly verdict: "hold"
  readonly reason: string
  readonly message: string
  /** What should be done meanwhile, if anything. */
  readonly act?: "restart" | "probe" | "confirm"
  /** True if waiting counts as use: the operator must neither collect nor give up the instance. */
  readonly counts: boolean
  /** True if the operator must hear of that use at once, because it cancels a drain. */
  readonly urgent?: boolean
  /** True if the wait is for a free place: the hold then ends with 429. */
  readonly queued?: boolean
}

/** Why an instance cannot run. */
export type Failure = { readonly reason: string; readonly message: string; readonly exitCode?: number }

/** What is to happen to a request now. */
export type Decision =
  | Hold
  | { readonly verdict: "warm" }
  /** No instance lives: make one. */
  | { readonly verdict: "create" }
  /** No instance lives, and none may be made. `sure` = the API server itself said so. */
  | { readonly verdict: "gone" }
  | { readonly verdict: "conflict" }
  | { readonly verdict: "full"; readonly message: string }
  | { readonly verdict: "failed"; readonly failure: Failure }

type Check = (instance: MCPInstance, wanted: Wanted, snapshot: Snapshot) => Decision | undefined

/** The name is a digest: what it stands for is compared in full. */
const stranger: Check = ({ spec }, wanted) =>
  spec.subjectKey === wanted.subjectKey && spec.targetUID === wanted.targetUID ? undefined : { verdict: "conflict" }

const stale: Check = (_instance, _wanted, { trusted }) =>
  trusted
    ? undefined
    : {
        verdict: "hold",
        reason: "CacheStale",
        message: "The cluster is being asked again.",
        act: "confirm",
        counts: false,
      }

/** Being deleted: a newcomer waits for the end and makes a new one; use would be written to nobody. */
const terminating: Check = ({ metadata }) =>
  metadata.deletionTimestamp === undefined
    ? undefined
    : { verdict: "hold", reason: "Terminating", message: "The previous instance is ending.", counts: false }

const draining: Check = ({ status }, { continues }) => {
  const condition = findCondition(status?.conditions, "Draining")
  if (condition?.status !== "True" || continues) return undefined
  // the others go on to their end, and a key of ours would only delay it
  const cancels = isCancellable(condition.reason)
  return {
    verdict: "hold",
    reason: "Draining",
    message: `The instance is being replaced (${condition.reason}).`,
    counts: cancels,
    urgent: cancels,
  }
}

/** Another set of credentials than the instance was made with; one that no gateway composed records none. */
const otherCredentials: Check = (instance, { scopes, continues }) => {
  // undefined if no gateway composed it
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
 * A failure counts while the operator stands by it: phase Failed, Ready=False, computed from the current spec, and not
 * older than the running start. As soon as the operator starts anew (another phase, or a later startTime) or the spec
 * changes, the failure belongs to an earlier start and the request waits for the new one.
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

/** Read from top to bottom: the first check that speaks decides. */
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

/** What is to happen to a request, given what is known. Pure. */
export const decidePlacement = (snapshot: Snapshot, wanted: Wanted): Decision => {
  const { instance } = snapshot
  if (instance === undefined) return { verdict: wanted.mode === "create" ? "create" : "gone" }
  for (const check of checks) {
    const decision = check(instance, wanted, snapshot)
    if (decision !== undefined) return decision
  }
  return { verdict: "warm" }
}
