/**
 * How a decision is made. Start here.
 *
 * An instance is looked at whenever something about it changed, and when the next of its deadlines comes. One look is
 * one pass of reconcile.ts: `observe` (everything known of the instance, as a {@link Snapshot}; no call to the API
 * server) → `decide` (this file: pure) → `act` (the effects, then the status, then Events). It passes again until a
 * decision has nothing left to do.
 *
 * The decision is the verdict of one check: {@link checks} are asked in order, and the first that has something to say
 * decides. A verdict says what is to be done (actions) and what the status shall tell; what it leaves out follows from
 * how the Pod stands (failure.ts). From the verdict follow the status (status.ts), the Events (notes.ts) and when time
 * alone is a reason to look again (next-look.ts).
 *
 * So to change what the operator does: find the check below, read its docstring, and mind what comes before it. What a
 * check compares the time with stands in deadlines.ts, who gets a place in capacity.ts, what a Pod looks like in
 * desired/. Every check is shown by an example in decide.test.ts.
 */
import { findCondition, withCondition } from "../api/condition.ts"
import { evicted, failedAndUnwaited, idle, pastLifetime, queued, restarted, secretExpiring } from "./checks/collect.ts"
import { followTarget } from "./checks/follow-target.ts"
import { nameConflict, predecessors } from "./checks/names.ts"
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
import { missingService, staleService } from "./checks/service.ts"
import { beingDeleted, expandsTooFar, invalidSpec, tooPrivileged, unknownTemplate } from "./checks/spec.ts"
import { nextLook } from "./next-look.ts"
import { notesOf } from "./notes.ts"
import type { ReadyReason } from "./reasons.ts"
import type { Check, Decision, Snapshot, Verdict } from "./snapshot.ts"
import { nextStatus, statusPatch } from "./status.ts"
import { stamp } from "./time.ts"

/** The checks, in order. Each is a question; the comment behind it says what follows from a yes. */
export const checks = {
  beingDeleted, // no more than a word: the API server takes its children away

  // what it starts from
  predecessors, // what an earlier instance of this name left is deleted, never adopted
  followTarget, // a newer generation of its target is copied into its spec

  // it has come to its end: drained if its server has answered, then deleted
  failedAndUnwaited, // deleted: nobody waits for it
  restarted,
  pastLifetime,
  secretExpiring,

  // no start can mend this: not admitted until the spec is mended
  invalidSpec,
  unknownTemplate,
  tooPrivileged,
  expandsTooFar,

  // whether it has a place, and whether anybody needs it there
  queued, // waits for a place; deleted if nobody waits with it
  evicted, // drained and deleted: it makes room for one that waits
  idle, // drained and deleted: nobody used it for its idle TTL

  // a Pod that must not stay
  nameConflict, // fails: a stranger's object has the name of its Service or Pod
  surplusPods, // all but the newest are deleted
  lostPod, // deleted: it will never run again
  specChanged, // deleted, drained first if its server has answered: it was made from other inputs

  // no new Pod yet
  refusedCreate, // fails and backs off: the API server refused what this very look wanted to make
  backingOff, // waits for the end of its backoff
  vanishedPod, // backs off: its Pod went away before it was Ready

  // what is missing, one step at a time
  missingService, // created
  staleService, // patched, to select the Pod of this start
  nextStart, // counted, before the Pod is made
  missingPod, // created
} as const satisfies Record<string, Check>

/** The verdict of the first check that has one, and that check's name; `running` if none has. */
export const firstVerdict = (snapshot: Snapshot): { readonly check: string; readonly verdict: Verdict } => {
  for (const [check, judge] of Object.entries<Check>(checks)) {
    const verdict = judge(snapshot)
    if (verdict !== undefined) return { check, verdict }
  }
  // nothing is to be done: the status tells how its Pod stands
  return { check: "running", verdict: {} }
}

/** Words without the ports, ids and times in them, which differ from try to try. */
const withoutNumbers = (words: string): string => words.replaceAll(/\d+/g, "0")

/**
 * What to tell of an instance that the operator could not bring further, in the words of what stopped it: by the condition
 * Ready alone, since nothing else is known by it. Of a server that takes requests an Event alone tells: it goes on doing that.
 * Undefined if nothing is to be told: the same words once more would be a write that begins the next try at once.
 */
export const decideTrouble = (snapshot: Snapshot, message: string): Decision | undefined => {
  const { instance, standing, now } = snapshot
  if (instance.metadata.deletionTimestamp !== undefined) return undefined
  const before = instance.status ?? {}
  const reason = "ReconcileFailed" satisfies ReadyReason
  const silent = { check: "trouble", actions: [], nudge: [], requeueAfter: 0 } as const
  if (standing.ready)
    return { ...silent, status: before, statusPatch: undefined, notes: [{ type: "Warning", reason, note: message }] }
  const told = findCondition(before.conditions, "Ready")
  if (told?.reason === reason && withoutNumbers(told.message) === withoutNumbers(message)) return undefined
  const { generation } = instance.metadata
  const seen = generation === undefined ? {} : { observedGeneration: generation }
  const ready = { type: "Ready", status: "False", reason, message, ...seen } as const
  const conditions = withCondition(before.conditions ?? [], ready, stamp(now))
  const status = { ...before, phase: before.phase ?? "Pending", conditions }
  return { ...silent, status, statusPatch: statusPatch(snapshot, status), notes: notesOf(before, status) }
}

/** What is to be done about an instance. Pure: the snapshot has everything, the clock and the settings included. */
export const decide = (snapshot: Snapshot): Decision => {
  const { check, verdict } = firstVerdict(snapshot)
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
    nudge: verdict.nudge ?? [],
    requeueAfter: nextLook({ ...snapshot, instance: { ...snapshot.instance, status } }),
  }
}
