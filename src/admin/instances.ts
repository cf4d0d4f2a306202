import { findCondition } from "../api/kinds/kind.ts"
import { type MCPInstance, mcpInstanceKind } from "../api/kinds/mcp-instance.ts"
import { packageText } from "../api/kinds/package.ts"
import { labels } from "../api/names.ts"
import { AppError } from "../errors.ts"
import { type Call, caughtUp, type Handler, requireTarget } from "./call.ts"
import { isOwnInstance } from "./operations.ts"
import { namePattern, toPage } from "./page.ts"
import type { Instance } from "./resources.ts"

/** Reason and message of the condition that explains the phase: Draining if True, Admitted if False, else Ready. */
const explain = ({ status }: MCPInstance): Pick<Instance, "reason" | "message"> => {
  const draining = findCondition(status?.conditions, "Draining")
  const admitted = findCondition(status?.conditions, "Admitted")
  const condition =
    draining?.status === "True"
      ? draining
      : admitted?.status === "False"
        ? admitted
        : findCondition(status?.conditions, "Ready")
  return condition === undefined ? {} : { reason: condition.reason, message: condition.message }
}

const viewInstance = (instance: MCPInstance, now: number): Instance => {
  const { metadata, spec, status } = instance
  const { creationTimestamp: created } = metadata
  return {
    name: metadata.name,
    target: spec.targetName,
    subject: metadata.annotations?.[labels.subject],
    subject_key: spec.subjectKey,
    phase: metadata.deletionTimestamp === undefined ? (status?.phase ?? "Pending") : "Terminating",
    ...explain(instance),
    image: spec.image,
    ...(spec.package === undefined ? {} : { package: packageText(spec.package) }),
    pod: status?.podName,
    service: metadata.name,
    secret: status?.secretName ?? spec.secretName,
    restarts: status?.restarts ?? 0,
    created_time: created,
    ready_time: status?.readyTime,
    last_used_time: status?.lastUsedTime,
    age_seconds: created === undefined ? undefined : Math.max(0, Math.floor((now - Date.parse(created)) / 1000)),
  }
}

/** True for administrators, and for the owner of the instance as long as they may use its target. */
export const isVisible = ({ deps, identity, admin }: Call, instance: MCPInstance): boolean => {
  if (admin) return true
  const target = deps.targets.get(instance.spec.targetName)
  return target !== undefined && deps.access.mayUse(target, identity) && isOwnInstance(target, instance, identity)
}

/**
 * The instance that the path names, read from the API server, if the caller may see it. Throws the same
 * `InstanceNotFound` for unknown instances and for those of other users.
 */
export const requireInstance = async (call: Call): Promise<MCPInstance> => {
  const { deps, signal } = call
  const { name = "" } = call.params
  const ref = { namespace: deps.namespace, name }
  const found = namePattern.test(name) ? await deps.cluster.get(mcpInstanceKind, ref, { signal }) : undefined
  if (found !== undefined && isVisible(call, found)) return found
  throw new AppError("InstanceNotFound", { detail: `There is no instance '${name.slice(0, 64)}' that you may see.` })
}

const list = (call: Call, belongs: (instance: MCPInstance) => boolean) => {
  const { instances, clock } = call.deps
  const visible = [...instances.items()].filter((instance) => belongs(instance) && isVisible(call, instance))
  const page = toPage(visible, call.query)
  return { body: { ...page, items: page.items.map((instance) => viewInstance(instance, clock.now())) } }
}

/** GET /api/instances */
export const listInstances: Handler = (call) => list(call, () => true)

/** GET /api/targets/{id}/instances */
export const listTargetInstances: Handler = async (call) => {
  const { name } = (await requireTarget(call)).metadata
  return list(call, (instance) => instance.spec.targetName === name)
}

/** GET /api/instances/{name} */
export const getInstance: Handler = async (call) => ({
  body: viewInstance(await requireInstance(call), call.deps.clock.now()),
})

/**
 * DELETE /api/instances/{name}: Pod, Service and Secret are deleted with it; the next request creates a new instance.
 */
export const deleteInstance: Handler = async (call) => {
  const { cluster, namespace, instances, clock } = call.deps
  const { name, uid } = (await requireInstance(call)).metadata
  const preconditions = uid === undefined ? {} : { uid }
  await cluster.delete(mcpInstanceKind, { namespace, name }, { signal: call.signal, preconditions })
  await caughtUp(instances, clock, () => {
    const seen = instances.get(name)?.metadata
    return seen?.uid !== uid || seen?.deletionTimestamp !== undefined
  })
  return { status: 204 }
}
