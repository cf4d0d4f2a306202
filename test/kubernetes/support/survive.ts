/** Whether a reflection of a changing cluster survives a fault without losing or doubling anything. */
import { expect } from "vitest"
import type { KubeCluster } from "../../../src/adapters/kube/cluster.ts"
import { mcpTargetKind } from "../../../src/api/kinds/mcp-target.ts"
import { eventually } from "../../support/processes.ts"
import { openCluster } from "./cluster.ts"
import { briefs, mirror, startChurn } from "./mirror.ts"
import type { Installation } from "./role.ts"

/** A fault, and who sees it. */
export type Trial = {
  readonly place: Installation
  /** A client that no fault meets. */
  readonly truth: KubeCluster
  /** The way of the reflection to the API server. */
  readonly way: { readonly url: string }
  /** Goes on until the server is back. */
  readonly act: () => Promise<void>
  /** How long it may take afterwards until the reflection is caught up, in milliseconds. */
  readonly withinMs: number
  /** As in the adapter. */
  readonly silenceLimitMs?: number
}

/**
 * A gateway's reflection sees a fault while objects change all the time. Resolves when it has caught up, with the
 * milliseconds that this took after the fault; fails if it was told anything that makes no sense.
 */
export const survive = async ({ place, truth, way, act, withinMs, silenceLimitMs }: Trial): Promise<number> => {
  const namespace = place.instances
  const kubeconfig = await place.kubeconfig("gateway", way.url)
  const limit = silenceLimitMs === undefined ? {} : { silenceLimitMs }
  const cluster = openCluster("reflow-gateway", { kubeconfig, ...limit })
  const reflection = cluster.watch(mcpTargetKind, { namespace })
  const { objects, problems } = mirror(reflection)
  await reflection.synced
  const churn = startChurn(truth, namespace)
  await act()
  const over = performance.now()
  await churn.stop()
  // a busy machine writes slowly
  expect(churn.writes).toBeGreaterThan(3)
  // nothing changes any more
  const wanted = briefs((await truth.list(mcpTargetKind, { namespace })).items)
  const isCaughtUp = () => briefs(reflection.items()).join() === wanted.join()
  await eventually(isCaughtUp, withinMs, "the reflection is caught up")
  const ms = performance.now() - over
  expect(problems).toEqual([])
  expect(briefs(objects.values())).toEqual(wanted)
  expect(reflection.hasSynced()).toBe(true)
  await reflection.close()
  await cluster.close()
  return ms
}
