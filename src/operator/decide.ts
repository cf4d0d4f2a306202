/**
 * How a decision is made. Start here.
 *
 * An instance is reconciled whenever something about it changes, and when its next deadline comes. One pass of
 * reconcile.ts has three steps: `observe` collects everything known of the instance (a {@link Snapshot}; no call to the
 * API server), `decide` (this file, pure) decides, and `act` carries the decision out: first the effects, then the
 * status, then Events. Passes are repeated until a decision has nothing left to do.
 *
 * The decision is the verdict of one check: {@link checks} run in order, and the first one with a verdict decides. A
 * verdict has actions and changes of the status; what it leaves out follows from the state of the Pod (server-state.ts).
 * The verdict determines the status (status.ts) and the Events (events.ts). Each check also returns until when its
 * result holds, which determines when the instance is reconciled again.
 *
 * To change what the operator does, find the check below, read its docstring, and consider the checks before it.
 * Deadlines are computed in deadlines.ts, places in capacity.ts, Pods in desired/. decide.test.ts has an example for
 * every check.
 */
import { findCondition, withCondition } from "../api/kinds/kind.ts"
import { bridgeMissing } from "./checks/bridge.ts"
import { evicted, failedAndUnwaited, idle, pastLifetime, queued, restarted, secretExpiring } from "./checks/collect.ts"
import { missingService, nameConflict, predecessors, staleService } from "./checks/objects.ts"
import {
  backingOff,
  lostPod,
  missingPod,
  nextStart,
  refusedCreate,
  specChanged,
  surplusPods,
  vanishedPod,
} from "./checks/pod.ts"
import {
  beingDeleted,
  expandsTooFar,
  followTarget,
  invalidSpec,
  ofRemoteTarget,
  tooPrivileged,
  unknownTemplate,
  withoutBridge,
} from "./checks/spec.ts"
import { imageOf } from "./desired/package.ts"
import { startTimeoutOf } from "./desired/pod.ts"
import { notesOf } from "./events.ts"
import type { ReadyReason } from "./reasons.ts"
import { judge, probeCheckMs, probeFailureFrom } from "./server-state.ts"
import type { Check, Decision, Observation, Snapshot, Standing, Verdict } from "./snapshot.ts"
import { nextStatus, pendingReason, statusPatch, statusUntil } from "./status.ts"
import { nextAfter, stamp } from "./time.ts"

/** The checks, in order. The comment behind a check says what happens to the instance if the check applies. */
export const checks = {
  beingDeleted, // only its condition is written: the garbage collector deletes Pod and Service

  // preparation
  predecessors, // objects that an earlier instance of this name left are deleted, never adopted
  followTarget, // a newer generation of its target is copied into its spec

  // it must end: drained if its server has answered, then deleted
  failedAndUnwaited, // deleted: no request waits for it
  restarted,
  pastLifetime,
  secretExpiring,

  // no start can succeed: not admitted until the spec is corrected
  invalidSpec,
  ofRemoteTarget,
  unknownTemplate,
  withoutBridge,
  tooPrivileged,
  expandsTooFar,

  // whether it has a place, and is used
  queued, // waits for a place; deleted if no request waits for it
  evicted, // drained and deleted: it makes room for a queued instance
  idle, // drained and deleted: not used for its idle TTL

  // a Pod that must not stay
  nameConflict, // fails: a foreign object has the name of its Service or Pod
  surplusPods, // all but the newest are deleted
  lostPod, // deleted: it will never run again
  bridgeMissing, // deleted: the bridge could not be mounted, and the next Pod gets it in another way
  specChanged, // deleted, drained first if its server has answered: it was made from other inputs

  // no new Pod yet
  refusedCreate, // fails and backs off: the API server refused the create in the pass before
  backingOff, // waits for the end of its backoff
  vanishedPod, // backs off: its Pod was deleted before it was Ready

  // missing objects, one step at a time
  missingService, // created
  staleService, // patched, to select the Pod of this start
  nextStart, // counted, before the Pod is made
  missingPod, // created
} as const satisfies Record<string, Check>

/** The result of running the checks. */
type Found = {
  /** Name of the check that decided; `running` if none did. */
  readonly check: string
  readonly verdict: Verdict
  /** When time alone can change the result, milliseconds since the epoch; undefined = never. */
  readonly until: number | undefined
}

/** Runs the checks in order until one decides. Later checks do not matter as long as that one decides. */
export const firstVerdict = (snapshot: Snapshot): Found => {
  let until: number | undefined
  for (const [check, ask] of Object.entries<Check>(checks)) {
    const found = ask(snapshot)
    until = nextAfter(snapshot.now, until, found?.until)
    if (found?.verdict !== undefined) return { check, verdict: found.verdict, until }
  }
  // nothing to do: the status shows the state of the Pod
  return { check: "running", verdict: {}, until }
}

/** The state of the observed server. */
const standingOf = ({ instance, pod, sight, settings, now }: Observation): Standing => {
  if (pod === undefined || sight === undefined) return { ready: false, ...pendingReason }
  const { spec, status } = instance
  const failure = status?.podName === pod.metadata.name ? status?.failure : undefined
  const [image, startTimeoutMs] = [imageOf(spec, settings), startTimeoutOf(spec, settings)]
  return judge({ pod, spec, image, failure, sight, startTimeoutMs, now })
}

/** Adds the state of the server to an observation. */
export const toSnapshot = (observation: Observation): Snapshot => ({
  ...observation,
  standing: standingOf(observation),
})

/** When the cause of a failing startup probe is to be read next; undefined if it need not be. */
const probeUntil = ({ pod, now }: Snapshot): number | undefined => {
  const from = probeFailureFrom(pod)
  return from === undefined || now < from ? from : now + probeCheckMs
}

/** Milliseconds until time alone may change the decision; Infinity = never. */
const dueIn = (snapshot: Snapshot, until: number | undefined): number => {
  const next = nextAfter(snapshot.now, until, statusUntil(snapshot), probeUntil(snapshot))
  return next === undefined ? Number.POSITIVE_INFINITY : next - snapshot.now
}

/** A message without its numbers: ports, ids and times differ from try to try. */
const withoutNumbers = (message: string): string => message.replaceAll(/\d+/g, "0")

/**
 * Decides how to report an error that stopped the reconcile of an instance; `message` is the error's. It sets only the
 * condition Ready, since the rest of the status is not known to have changed. If the server takes requests, it only
 * records an Event. Undefined if the condition already has this message: a write would cause the next reconcile at
 * once.
 */
export const decideTrouble = (snapshot: Snapshot, message: string): Decision | undefined => {
  const { instance, standing, now } = snapshot
  if (instance.metadata.deletionTimestamp !== undefined) return undefined
  const before = instance.status ?? {}
  const reason = "ReconcileFailed" satisfies ReadyReason
  const silent = { check: "trouble", actions: [], wake: [], requeueAfter: 0 } as const
  if (standing.ready)
    return { ...silent, status: before, statusPatch: undefined, notes: [{ type: "Warning", reason, note: message }] }
  const reported = findCondition(before.conditions, "Ready")
  if (reported?.reason === reason && withoutNumbers(reported.message) === withoutNumbers(message)) return undefined
  const { generation } = instance.metadata
  const seen = generation === undefined ? {} : { observedGeneration: generation }
  const ready = { type: "Ready", status: "False", reason, message, ...seen } as const
  const conditions = withCondition(before.conditions ?? [], ready, stamp(now))
  const status = { ...before, phase: before.phase ?? "Pending", conditions }
  return { ...silent, status, statusPatch: statusPatch(snapshot, status), notes: notesOf(before, status) }
}

/** Decides what to do about an instance. Pure: the snapshot has all input, the time and the settings included. */
export const decide = (snapshot: Snapshot): Decision => {
  const { check, verdict, until } = firstVerdict(snapshot)
  const before = snapshot.instance.status ?? {}
  const actions = verdict.actions ?? []
  const ends = actions.some((action) => action.do === "deleteInstance")
  const silent = verdict.quiet === true || ends
  const status = silent ? before : nextStatus(snapshot, verdict)
  return {
    check,
    actions,
    status,
    statusPatch: silent ? undefined : statusPatch(snapshot, status),
    notes: notesOf(before, status),
    wake: verdict.wake ?? [],
    requeueAfter: dueIn(snapshot, until),
  }
}
