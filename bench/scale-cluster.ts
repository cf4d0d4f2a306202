/** A real API server with simulated nodes, whose Pods become Ready without running a process. */
import { join } from "node:path"
import type { KubeCluster } from "../src/adapters/kube/cluster.ts"
import type { Kind, KubeObject } from "../src/api/kinds/kind.ts"
import { type Place, preparePlace, requireCluster, run } from "./place.ts"

/** Number of Pods for each simulated node. */
const podsPerNode = 1_000

/** The namespaces and clients of one run. `close` removes the simulated nodes last. */
export type ScaleCluster = Place & {
  /** Aborted when the run is to end early. */
  readonly signal: AbortSignal
  /** Uncordons the real nodes and cordons the simulated ones. */
  release(): Promise<void>
}

/** All objects of a kind in a namespace. */
export const listAll = async <T extends KubeObject>(
  cluster: KubeCluster,
  kind: Kind<T>,
  namespace: string,
): Promise<readonly T[]> => {
  const items: T[] = []
  let next: string | undefined
  do {
    const page = await cluster.list(kind, { namespace, limit: 500, ...(next === undefined ? {} : { continue: next }) })
    items.push(...page.items)
    next = page.continue
  } while (next !== undefined)
  return items
}

/** Creates the namespaces and enough simulated nodes for the instances. Throws if the cluster cannot simulate nodes. */
export const prepareScale = async (instances: number, signal: AbortSignal): Promise<ScaleCluster> => {
  const found = await requireCluster()
  const crowd = join(found.tools, "crowd")
  const place = await preparePlace(found, "scale")
  const release = async (): Promise<void> => {
    const simulated = await place.kubectl(["get", "nodes", "-l", "type=kwok", "-o", "name"])
    if (simulated !== "") await place.kubectl(["cordon", "-l", "type=kwok"])
    await place.kubectl(["uncordon", "-l", "type!=kwok"])
  }
  const close = async (): Promise<void> => {
    try {
      await release()
      // before the simulated nodes are removed: they must confirm that their Pods have ended
      await place.close()
    } finally {
      await run(crowd, ["down"])
    }
  }
  try {
    await run(crowd, ["up", String(Math.ceil(instances / podsPerNode) + 1)])
    return { ...place, signal, release, close }
  } catch (error) {
    await close()
    throw error
  }
}
