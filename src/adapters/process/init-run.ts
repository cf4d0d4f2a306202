import type { Container, Pod } from "../../api/kinds/pod.ts"
import { isRefused, type PodContainer, type PodScope, type Ran, resolve, runOnce } from "./pod-container.ts"
import { runRepeatedly } from "./restarts.ts"
import { isLastInitRun } from "./status.ts"

/**
 * The init containers that the node runs. A sidecar (restartPolicy `Always`) is left out, like every container beside
 * the server: it serves the server's container on a cluster, and here the server runs without it.
 */
export const initContainersOf = ({ spec: { initContainers = [] } }: Pod): readonly Container[] =>
  initContainers.filter(({ restartPolicy }) => restartPolicy !== "Always")

const runOf = async (scope: PodScope, each: PodContainer, restartCount: number): Promise<Ran | undefined> => {
  const resolved = await resolve(scope, each)
  if (resolved === undefined || scope.stop.aborted) return undefined
  return runOnce(scope, each, { resolved: resolved(), restartCount })
}

/**
 * Runs an init container until a run of it has ended well. False if none has: it can never run here, the Pod is to end,
 * or the restart policy allows no further run.
 */
export const runInit = async (scope: PodScope, each: PodContainer): Promise<boolean> => {
  if (await isRefused(scope, each)) return false
  const exitCode = await runRepeatedly(scope, each, {
    run: (restarts) => runOf(scope, each, restarts),
    isLast: (code) => isLastInitRun(scope.pod.spec.restartPolicy, code),
  })
  return exitCode === 0
}
