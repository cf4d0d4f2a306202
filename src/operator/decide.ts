import { isTrue } from "../api/condition.ts"
import type { MCPInstanceStatus } from "../api/mcp-instance.ts"
import { evicted, failedAndUnwaited, idle, pastLifetime, queued, restarted, secretExpiring } from "./checks/collect.ts"
import { followTarget } from "./checks/follow-target.ts"
import { nameConflict, predecessors } from "./checks/names.ts"
import {
  backingOff,
  lostPod,
  missingPod,
  nextStart,
  refusedCreate,
  running,
  specChanged,
  surplusPods,
  vanishedPod,
} from "./checks/pod.ts"
import { missingService, staleService } from "./checks/service.ts"
import { beingDeleted, invalidSpec, tooPrivileged, unknownTemplate } from "./checks/spec.ts"
import { nextLook } from "./next-look.ts"
import { notesOf } from "./notes.ts"
import type { Check, Decision, Snapshot, Verdict } from "./snapshot.ts"
import { nextStatus, statusPatch } from "./status.ts"

/** How a decision is made: read from top to bottom, the first check with a verdict decides. */
export const chain = {
  beingDeleted,
  // what no start can mend
  invalidSpec,
  unknownTemplate,
  tooPrivileged,
  predecessors,
  followTarget,
  // who goes, and who waits
  failedAndUnwaited,
  queued,
  restarted,
  pastLifetime,
  secretExpiring,
  evicted,
  idle,
  // the one Pod
  nameConflict,
  surplusPods,
  lostPod,
  specChanged,
  refusedCreate,
  backingOff,
  vanishedPod,
  missingService,
  staleService,
  nextStart,
  missingPod,
  running,
} as const satisfies Record<string, Check>

/** The verdict of the first check that has one, and that check's name. */
export const firstVerdict = (snapshot: Snapshot): { readonly check: string; readonly verdict: Verdict } => {
  for (const [check, judge] of Object.entries<Check>(chain)) {
    const verdict = judge(snapshot)
    if (verdict !== undefined) return { check, verdict }
  }
  return { check: "running", verdict: {} }
}

/** True if the patch rests on the absence of use: it must not meet a state that was touched meanwhile. */
const isGuarded = (before: MCPInstanceStatus, after: MCPInstanceStatus, dead: number): boolean =>
  dead > 0 || (isTrue(after.conditions, "Draining") && !isTrue(before.conditions, "Draining"))

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
    guarded: isGuarded(before, status, snapshot.use.dead.length),
    notes: notesOf(before, status),
    nudge: verdict.nudge ?? [],
    requeueAfter: nextLook({ ...snapshot, instance: { ...snapshot.instance, status } }),
  }
}
