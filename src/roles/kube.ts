import { createKubeCluster, type KubeCluster } from "../adapters/kube/cluster.ts"
import { systemClock as clock } from "../adapters/system/clock.ts"
import { collectGarbage } from "../adapters/system/garbage.ts"
import type { Config } from "../config/schema.ts"
import { createTelemetry } from "../telemetry/telemetry.ts"
import type { Base } from "./role.ts"
import type { Output } from "./terminal.ts"

/** Options of the roles on a real cluster. */
export type KubeRoleOptions = {
  readonly config: Config
  /** Gets the log. */
  readonly stderr: Output
}

/** Log and metrics of a role on a real cluster. */
export const kubeTelemetry = ({ config, stderr }: KubeRoleOptions): Base["telemetry"] =>
  createTelemetry({
    ...config.log,
    write: (line, urgent) => void stderr.write(line, urgent),
    processMetrics: config.metrics.listen !== undefined,
  })

/** A cluster client for one of the two actors (gateway, operator), and the actor's own namespace. */
export type Actor = {
  readonly cluster: KubeCluster
  /**
   * Namespace of the actor's own objects (Lease, session keys, bootstrap token): the namespace of its Pod, else that of
   * the kubeconfig's context, else kubernetes.namespace.
   */
  readonly ownNamespace: string
}

/**
 * After which long lists all garbage is collected, which takes about 100 ms with thousands of instances. A gateway that
 * lists again, because a watch broke, serves requests meanwhile: it leaves that garbage to V8.
 */
const collectsAfter = { "reflow-gateway": "first list", "reflow-operator": "each list" } as const

const ifFirst =
  (task: () => void) =>
  (isFirst: boolean): void => {
    if (isFirst) task()
  }

/**
 * Creates a client of the cluster; `fieldManager` is its name in managedFields. Makes no call yet. Throws
 * `ConfigInvalid` if the kubeconfig cannot be used.
 */
export const openCluster = async (
  { config, telemetry, started }: Base,
  fieldManager: "reflow-gateway" | "reflow-operator",
): Promise<Actor> => {
  const { kubeconfig, namespace } = config.kubernetes
  const onLongList = collectsAfter[fieldManager] === "each list" ? collectGarbage : ifFirst(collectGarbage)
  const cluster = createKubeCluster({ kubeconfig, fieldManager, clock, telemetry, onLongList })
  await started.add(`cluster of ${fieldManager}`, cluster.close)
  return { cluster, ownNamespace: cluster.ownNamespace ?? namespace }
}
