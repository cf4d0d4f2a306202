import { findCondition } from "../api/condition.ts"
import type { MCPInstance } from "../api/mcp-instance.ts"
import type { Pod } from "../api/pod.ts"
import { steps } from "../api/start-steps.ts"
import { podCondition, runningSince } from "./failure.ts"
import { moment } from "./time.ts"

export { steps }

/**
 * Seconds of each step of a start, from the objects' own stamps: queue (until admitted), create (until the Pod exists),
 * schedule (until it has a node), pull (until the container runs), start (until the kubelet calls it ready), ready
 * (until the operator says so, at `now`). A step whose stamps are missing is left out; clocks that differ give 0, never less.
 * Without `now` the start still goes on: the steps that are over, by stamps alone, so that the same Pod gives the same ones.
 */
export const timingsOf = (instance: MCPInstance, pod: Pod, now?: number): Record<string, number> => {
  const ready = podCondition(pod, "Ready")
  const first = instance.status?.starts === 1
  const created = moment(instance.metadata.creationTimestamp)
  const admitted = moment(findCondition(instance.status?.conditions, "Admitted")?.lastTransitionTime)
  const marks: readonly (number | undefined)[] = [
    // a later start did not wait for a place
    first ? created : undefined,
    first ? admitted : undefined,
    moment(pod.metadata.creationTimestamp),
    moment(podCondition(pod, "PodScheduled")?.lastTransitionTime),
    runningSince(pod),
    // before the end of the start it is the time since when it is not ready
    now === undefined && ready?.status !== "True" ? undefined : moment(ready?.lastTransitionTime),
    now,
  ]
  const timings: Record<string, number> = {}
  let before = marks[0]
  for (const [index, step] of steps.entries()) {
    const mark = marks[index + 1]
    if (mark === undefined) continue
    if (before !== undefined) timings[step] = Math.max(0, Math.round(mark - before) / 1000)
    before = Math.max(before ?? mark, mark)
  }
  return timings
}
