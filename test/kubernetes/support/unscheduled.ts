/** Pods that the API server has and no node runs: what is asked of the API server is real, what a server does is played. */
import type { KubeObject } from "../../../src/api/kinds/kind.ts"
import { type Pod, type PodStatus, podKind } from "../../../src/api/kinds/pod.ts"
import type { ClusterPort } from "../../../src/ports/cluster.ts"
import { answering } from "../../support/fake-kubelet.ts"

/** A cluster whose new Pods wait for a scheduler that is not there. */
export const unscheduled = (cluster: ClusterPort): ClusterPort => ({
  ...cluster,
  create: <T extends KubeObject>(...[kind, object, options]: Parameters<typeof cluster.create<T>>): Promise<T> => {
    const given: T & { readonly spec?: object } = object
    const spec = { ...given.spec, schedulerName: "nobody" }
    return cluster.create(kind, kind.kind === podKind.kind ? { ...given, spec } : object, options)
  },
})

/** Lets each Pod of a namespace answer at once; for as long as the cluster is open. `statusOf` says what its status is. */
export const answeringPods = async (
  cluster: ClusterPort,
  namespace: string,
  statusOf: (now: string, pod: Pod) => PodStatus = answering,
): Promise<void> => {
  const pods = cluster.watch(podKind, { namespace })
  const answer = (pod: Pod): void => {
    const { name, uid } = pod.metadata
    const status = statusOf(new Date().toISOString(), pod)
    // one that goes meanwhile need not answer
    cluster.patchStatus(podKind, { namespace, name }, { metadata: { uid }, status }).catch(() => {})
  }
  pods.subscribe(({ type, object }) => {
    if (type === "added") answer(object)
  })
  await pods.synced
  for (const pod of pods.items()) answer(pod)
}
