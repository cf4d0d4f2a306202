import { podName } from "../api/names.ts"
import type { Snapshot } from "./snapshot.ts"

/** The start that an instance needs next, if it has no Pod. */
type PlannedStart = {
  /** Its number, from 1; part of the Pod's name. */
  readonly number: number
  readonly podName: string
}

type StartFacts = Pick<Snapshot, "instance" | "pods">

/**
 * True once the Pod of the current start (`status.starts`) was seen: its name must not be used again. Before that its
 * create may be repeated: it creates the Pod, or finds it.
 */
const isUsedUp = ({ instance, pods }: StartFacts, name: string): boolean =>
  instance.status?.podName === name || pods.some(({ metadata }) => metadata.name === name)

/** The next start; it stays the same until its Pod was seen. */
export const plannedStart = (facts: StartFacts): PlannedStart => {
  const { instance } = facts
  const { name, uid = "" } = instance.metadata
  const starts = instance.status?.starts ?? 0
  const current = podName(name, uid, starts)
  if (starts > 0 && !isUsedUp(facts, current)) return { number: starts, podName: current }
  return { number: starts + 1, podName: podName(name, uid, starts + 1) }
}

/** Name of the Pod that the Service must select: the running one, else the next one. */
export const servedPod = (snapshot: Snapshot): string => snapshot.pod?.metadata.name ?? plannedStart(snapshot).podName

/** True if the Pod of the current start was Ready at some time. */
export const wasReady = ({ instance }: Pick<Snapshot, "instance">): boolean => instance.status?.readyTime !== undefined

/** True if the spec has changed since the status was computed. */
export const isSpecNews = ({ instance }: Pick<Snapshot, "instance">): boolean =>
  instance.status?.observedGeneration !== instance.metadata.generation

/** Longest wait after a failed start. */
const maxBackoffSeconds = 300

/** The same after a webhook's failure: an administrator who repairs it cannot know which instances wait. */
const maxWebhookBackoffSeconds = 30

/**
 * The wait after one more failed start: 1 s, doubling up to five minutes, or to 30 s while an admission webhook fails.
 * Begins with 1 s again after a change of the spec. `until` is in milliseconds since the epoch.
 */
export const nextBackoff = (snapshot: Snapshot): { readonly seconds: number; readonly until: number } => {
  const before = isSpecNews(snapshot) ? 0 : (snapshot.instance.status?.backoffSeconds ?? 0)
  const most = snapshot.refusal?.reason === "WebhookFailed" ? maxWebhookBackoffSeconds : maxBackoffSeconds
  const seconds = Math.min(before === 0 ? 1 : before * 2, most)
  return { seconds, until: snapshot.now + seconds * 1000 }
}
