import { createKubeCluster, type KubeCluster } from "../adapters/kube/cluster.ts"
import { systemClock as clock } from "../adapters/system/clock.ts"
import type { Config } from "../config/schema.ts"
import { createTelemetry } from "../telemetry/telemetry.ts"
import type { Output } from "./dev/progress.ts"
import type { Base } from "./role.ts"

/** What the roles on a real cluster get from the process. */
export type KubeRoleOptions = {
  readonly config: Config
  /** Gets the log. */
  readonly stderr: Output
}

/** Log and metrics of a role on a real cluster. */
export const kubeTelemetry = ({ config, stderr }: KubeRoleOptions): Base["telemetry"] =>
  createTelemetry({
    ...config.log,
    write: (line) => void stderr.write(line),
    processMetrics: config.metrics.listen !== undefined,
  })

/** The cluster as one of the two actors sees it. */
export type Actor = {
  readonly cluster: KubeCluster
  /**
   * Where the actor keeps what is its own (Lease, session keys, bootstrap token): its Pod's namespace, else the one that
   * the kubeconfig's context names, else kubernetes.namespace.
   */
  readonly ownNamespace: string
}

/** Opens the cluster as `fieldManager`. Makes no call yet; throws `ConfigInvalid` if the kubeconfig cannot be used. */
export const openCluster = async (
  { config, telemetry, started }: Base,
  fieldManager: "reflow-gateway" | "reflow-operator",
): Promise<Actor> => {
  const { kubeconfig, namespace } = config.kubernetes
  const cluster = createKubeCluster({ kubeconfig, fieldManager, clock, telemetry })
  await started.add(`cluster of ${fieldManager}`, cluster.close)
  return { cluster, ownNamespace: cluster.ownNamespace ?? namespace }
}
