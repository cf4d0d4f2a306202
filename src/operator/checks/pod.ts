/** Checks of the Pods of an instance. */
import type { Pod } from "../../api/kinds/pod.ts"
import { labels } from "../../api/names.ts"
import { hasCode } from "../../errors.ts"
import { desiredPod, inputsHash, type PodInput } from "../desired/pod.ts"
import { toReadyReason } from "../reasons.ts"
import type { Check, Snapshot, Standing } from "../snapshot.ts"
import { isSpecNews, nextBackoff, plannedStart, wasReady } from "../start.ts"
import { pendingReason } from "../status.ts"
import { moment } from "../time.ts"
import { drainStep, replacement } from "./drain.ts"

const pending: Standing = { ready: false, ...pendingReason }

/** Deletes all Pods of the instance except the newest. */
export const surplusPods: Check = ({ pod, pods }) => {
  const surplus = pods.filter((each) => each !== pod && each.metadata.deletionTimestamp === undefined)
  if (surplus.length === 0) return undefined
  return {
    verdict: { actions: surplus.map((each) => ({ do: "deletePod", pod: each, reason: "Surplus" })), quiet: true },
  }
}

/** The start after the one that the status counts. */
const following = ({ instance }: Snapshot): number => (instance.status?.starts ?? 0) + 1

/** A Pod that will never run again is replaced: at once if its server had been Ready, else after a backoff. */
export const lostPod: Check = (snapshot) => {
  const { pod, standing } = snapshot
  if (pod === undefined || standing.lost !== true) return undefined
  const actions = [{ do: "deletePod", pod, reason: standing.reason }] as const
  if (wasReady(snapshot)) return { verdict: { actions, standing: pending, starts: following(snapshot) } }
  return { verdict: { actions, standing: { ...standing, failed: {} }, backoff: nextBackoff(snapshot) } }
}

/** Replaces a Pod that was made from other inputs; drains it first if its server has answered. */
export const specChanged: Check = (snapshot) => {
  const { pod, instance } = snapshot
  if (pod === undefined || pod.metadata.annotations?.[labels.inputsHash] === inputsHash(instance)) return undefined
  const reason = "SpecChanged"
  const message = "The instance's spec changed; its Pod is replaced."
  return drainStep(snapshot, { reason, message, finish: replacement(pod, snapshot, reason) })
}

/** The start fails and backs off if the API server refused the create in the pass before. */
export const refusedCreate: Check = (snapshot) => {
  const { refusal } = snapshot
  if (refusal === undefined) return undefined
  const { reason, message } = refusal
  return { verdict: { standing: { ready: false, reason, message, failed: {} }, backoff: nextBackoff(snapshot) } }
}

/** After a failed start the next one waits for the end of the backoff, unless the spec was changed. */
export const backingOff: Check = (snapshot) => {
  const { pod, service, instance, now } = snapshot
  const { backoffUntilTime, failure } = instance.status ?? {}
  const complete = pod !== undefined && service !== undefined
  const until = moment(backoffUntilTime)
  if (complete || isSpecNews(snapshot) || until === undefined || now >= until) return undefined
  if (failure === undefined) return { verdict: { standing: { ...pending, reason: "PodGone" } }, until }
  const { reason, message, exitCode } = failure
  const failed = exitCode === undefined ? {} : { exitCode }
  return { verdict: { standing: { ready: false, reason: toReadyReason(reason), message, failed } }, until }
}

/**
 * Backs off after a Pod that was deleted before its server was Ready: an immediate create could become an endless loop.
 */
export const vanishedPod: Check = (snapshot) => {
  const { pod, instance } = snapshot
  const { starts = 0, backoffUntilTime } = instance.status ?? {}
  if (pod !== undefined || starts === 0 || wasReady(snapshot)) return undefined
  if (backoffUntilTime !== undefined || isSpecNews(snapshot) || plannedStart(snapshot).number === starts)
    return undefined
  const message = "The Pod went away before its server was ready; another one takes its place."
  return { verdict: { standing: { ready: false, reason: "PodGone", message }, backoff: nextBackoff(snapshot) } }
}

/** Writes the count of starts before the Pod is created, so that a create can be repeated under the same name. */
export const nextStart: Check = (snapshot) => {
  if (snapshot.pod !== undefined) return undefined
  const { number } = plannedStart(snapshot)
  if (number === snapshot.instance.status?.starts) return undefined
  return { verdict: { standing: pending, starts: number } }
}

/** The Pod, or the message if its pod templates failed. */
const renderedPod = (input: PodInput): Pod | string => {
  try {
    return desiredPod(input)
  } catch (error) {
    if (!hasCode(error, "PluginFailed")) throw error
    // the error that the plugin threw may hold a secret: it is in the log only
    return `${error.message} Correct spec.podTemplates of the target, or the plugin.`.slice(0, 900)
  }
}

/** Creates the Pod if there is none; the start fails and backs off if its pod templates fail. */
export const missingPod: Check = (snapshot) => {
  if (snapshot.pod !== undefined || snapshot.podNamesake !== undefined) return undefined
  const { instance, settings } = snapshot
  const pod = renderedPod({ instance, name: plannedStart(snapshot).podName, settings })
  if (typeof pod === "string") {
    const standing: Standing = { ready: false, reason: "PodTemplateFailed", message: pod, failed: {} }
    return { verdict: { standing, backoff: nextBackoff(snapshot) } }
  }
  return { verdict: { actions: [{ do: "createPod", pod }], standing: pending } }
}
