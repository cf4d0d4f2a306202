import { type Pod, type PodStatus, podKind } from "../../src/api/kinds/pod.ts"
import { labels } from "../../src/api/names.ts"
import type { ClockPort } from "../../src/ports/clock.ts"
import type { ClusterPort } from "../../src/ports/cluster.ts"
import { podStatus } from "./build/pod.ts"

/** What happens to a Pod on its node: each state after so many milliseconds. Nothing = it stays pending. */
export type Script = readonly { readonly afterMs: number; readonly status: (now: string, pod: Pod) => PodStatus }[]

/** A node whose Pods do what a test says. */
export type FakeKubelet = {
  /** What the Pods that come from now on do. */
  play(script: Script | ((pod: Pod) => Script)): void
  /** Writes the status of a Pod now. */
  set(pod: string, status: PodStatus): Promise<void>
  close(): Promise<void>
}

const scheduled = (now: string) => ({ type: "PodScheduled", status: "True", lastTransitionTime: now }) as const
const readiness = (ready: boolean, now: string) =>
  ({ type: "Ready", status: ready ? "True" : "False", lastTransitionTime: now }) as const

/** The container is being set up; no address yet. */
export const creating = (now: string): PodStatus => ({
  phase: "Pending",
  conditions: [scheduled(now), readiness(false, now)],
  containerStatuses: [
    { name: "mcp", ready: false, restartCount: 0, state: { waiting: { reason: "ContainerCreating" } } },
  ],
})

/** The server process runs and has not answered yet. */
export const starting = (now: string): PodStatus =>
  podStatus(
    { started: false, state: { running: { startedAt: now } } },
    { phase: "Running", conditions: [scheduled(now), readiness(false, now)] },
  )

/** The server answers. */
export const answering = (now: string): PodStatus =>
  podStatus(
    { ready: true, started: true, state: { running: { startedAt: now } } },
    { phase: "Running", conditions: [scheduled(now), readiness(true, now)] },
  )

/** A start as on a real node, in a second. */
export const healthy: Script = [
  { afterMs: 50, status: creating },
  { afterMs: 400, status: starting },
  { afterMs: 1_000, status: answering },
]

/** Milliseconds that a server takes to end after SIGTERM. */
const endingMs = 3_000

/** Makes a node that takes each Pod of a namespace, plays its script, and ends it some seconds after its deletion. */
export const fakeKubelet = (cluster: ClusterPort, clock: ClockPort, namespace = "reflow"): FakeKubelet => {
  const pods = cluster.watch(podKind, { namespace })
  const cancels = new Set<() => void>()
  const known = new Set<string>()
  const leaving = new Set<string>()
  let script: Script | ((pod: Pod) => Script) = healthy

  const later = (ms: number, task: () => Promise<unknown>): void => {
    const cancel = clock.timer(ms, () => {
      cancels.delete(cancel)
      // the Pod may be gone by now, as on a real node
      task().catch(() => {})
    })
    cancels.add(cancel)
  }
  const same = ({ metadata }: Pod) => ({ uid: metadata.uid })
  const patch = (pod: Pod, status: PodStatus) =>
    cluster.patchStatus(podKind, { namespace, name: pod.metadata.name }, { metadata: same(pod), status })
  const take = (pod: Pod): void => {
    known.add(pod.metadata.uid ?? "")
    const ref = { namespace, name: pod.metadata.name }
    const annotations = { [labels.nodePort]: "40001" }
    const bind = { metadata: { ...same(pod), annotations }, spec: { nodeName: "node-0" } }
    later(0, () => cluster.mergePatch(podKind, ref, bind))
    const steps = typeof script === "function" ? script(pod) : script
    for (const { afterMs, status } of steps)
      later(afterMs, () => patch(pod, status(new Date(clock.now()).toISOString(), pod)))
  }
  const end = (pod: Pod): void => {
    const { uid = "", name } = pod.metadata
    leaving.add(uid)
    later(endingMs, () =>
      cluster.delete(podKind, { namespace, name }, { gracePeriodSeconds: 0, preconditions: { uid } }),
    )
  }
  pods.subscribe(({ type, object }) => {
    const { uid = "", deletionTimestamp } = object.metadata
    if (type === "deleted") return
    if (!known.has(uid)) take(object)
    if (deletionTimestamp !== undefined && !leaving.has(uid)) end(object)
  })
  return {
    play: (next) => {
      script = next
    },
    set: async (name, status) => {
      await cluster.patchStatus(podKind, { namespace, name }, { status })
    },
    close: async () => {
      for (const cancel of cancels) cancel()
      await pods.close()
    },
  }
}
