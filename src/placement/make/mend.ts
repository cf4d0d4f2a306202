/** Creates the Secret of an instance that has none: its creator ended before it did, or somebody deleted the Secret. */

import { annotationOf } from "../../api/kinds/kind.ts"
import { secretKind } from "../../api/kinds/kubernetes.ts"
import type { MCPInstance } from "../../api/kinds/mcp-instance.ts"
import { labels } from "../../api/names.ts"
import type { Composition } from "../../credentials/compose.ts"
import { toRecord } from "../../credentials/scopes.ts"
import { refusal } from "../refusals.ts"
import { createComposition } from "./composition.ts"
import type { CreateDeps, CreateOrder } from "./create.ts"

/** How long an instance that was mended is not mended again: the kubelet looks for the Secret every ten seconds. */
const mendedMs = 10_000

/** What mending has to do with an instance. */
type Mended = "mended" | "restart"

/**
 * True if the values that apply now are not those that the instance was created for: it records other scopes, or they
 * expire before the time at which the operator ends it.
 */
const isOutdated = ({ scopes, expiresAt }: Composition, instance: MCPInstance): boolean => {
  if (annotationOf(instance, labels.credentialScopes) !== toRecord(scopes)) return true
  const until = instance.spec.secretExpireTime
  return expiresAt !== undefined && (until === undefined || expiresAt < Date.parse(until))
}

/**
 * Makes the function that creates the Secret which an instance names, with the values that apply now, if it does not
 * exist. The container then starts by itself. Resolves with `restart` if the instance must be replaced instead.
 * @throws as {@link createInstance}
 */
export const createMending = (
  deps: Pick<CreateDeps, "cluster" | "namespace" | "compose" | "clock" | "log">,
): ((instance: MCPInstance, order: CreateOrder, signal: AbortSignal) => Promise<Mended>) => {
  const { cluster, namespace, clock, log } = deps
  const recent = new Map<string, number>()

  const mend = async (instance: MCPInstance, order: CreateOrder, signal: AbortSignal): Promise<Mended> => {
    const { secretName: name = "" } = instance.spec
    if ((await cluster.get(secretKind, { namespace, name }, { signal })) !== undefined) return "mended"
    const composition = await deps.compose(order.target, order.holder, signal, order.requestId)
    if (isOutdated(composition, instance)) return "restart"
    await createComposition(deps, instance, composition.values, signal)
    log.info("created the Secret that an instance was waiting for", { instance: order.name })
    return "mended"
  }

  return async (instance, order, signal) => {
    const { uid = "" } = instance.metadata
    const now = clock.now()
    for (const [each, at] of recent) if (now - at >= mendedMs) recent.delete(each)
    if (recent.has(uid)) return "mended"
    recent.set(uid, now)
    try {
      return await mend(instance, order, signal)
    } catch (error) {
      recent.delete(uid)
      throw refusal(order.name, "change", error)
    }
  }
}
