import { type MCPInstance, mcpInstanceKind } from "../api/kinds/mcp-instance.ts"
import type { MCPTarget } from "../api/kinds/mcp-target.ts"
import { isRemote } from "../api/kinds/remote.ts"
import { AppError, hasCode } from "../errors.ts"
import { sharerKey, sharerNamed } from "../identity/subject-key.ts"
import { isRetained } from "../signals/restart.ts"
import { endSessions } from "./announcement.ts"
import { type Answer, type Call, caughtUp, type Handler, listInstancesOf, requireTarget } from "./call.ts"
import { orEmpty } from "./json-body.ts"
import { RestartInput } from "./resources.ts"
import { parseBody } from "./validation.ts"
import { parseWho } from "./who.ts"

/** Maximum number of concurrent writes. */
const parallelWrites = 16

/** Calls `act` for all instances; resolves with the sorted names of those for which it returned true. */
const actOn = async (
  instances: readonly MCPInstance[],
  act: (instance: MCPInstance) => Promise<boolean>,
): Promise<readonly string[]> => {
  const done: string[] = []
  for (let start = 0; start < instances.length; start += parallelWrites)
    await Promise.all(
      instances.slice(start, start + parallelWrites).map(async (instance) => {
        if (await act(instance)) done.push(instance.metadata.name)
      }),
    )
  return done.sort()
}

/**
 * Asks the operator to drain instances and then delete them, or to replace the Pod of a retained one
 * (spec.restartTime). Open calls may finish. Resolves with the names of the instances that still existed, when this
 * gateway has seen the change and sends no new call to them, but after two seconds in any case.
 */
export const drainInstances = async (
  { deps, signal }: Call,
  instances: readonly MCPInstance[],
): Promise<readonly string[]> => {
  const restartTime = new Date(deps.clock.now()).toISOString()
  const written: MCPInstance[] = []
  const drained = await actOn(instances, async ({ metadata: { name, uid } }) => {
    const patch = { metadata: { uid }, spec: { restartTime } }
    try {
      written.push(
        await deps.cluster.mergePatch(mcpInstanceKind, { namespace: deps.namespace, name }, patch, { signal }),
      )
      return true
    } catch (error) {
      // deleted meanwhile, or replaced by a new object of the same name
      if (hasCode(error, "ApiNotFound", "ApiConflict")) return false
      throw error
    }
  })
  await caughtUp(deps.instances, deps.clock, () =>
    written.every(({ metadata: { name, uid, generation = 0 } }) => {
      const seen = deps.instances.get(name)?.metadata
      return seen?.uid !== uid || (seen?.generation ?? 0) >= generation
    }),
  )
  return drained
}

/** Deletes instances with their Pods, Services and Secrets. Resolves with the names of those that still existed. */
const endInstances = async ({ deps, signal }: Call, instances: readonly MCPInstance[]): Promise<readonly string[]> => {
  const { cluster, namespace } = deps
  const ended = await actOn(instances, async ({ metadata: { name, uid } }) => {
    const preconditions = uid === undefined ? {} : { uid }
    return (await cluster.delete(mcpInstanceKind, { namespace, name }, { signal, preconditions })) === "deleted"
  })
  const uids = new Set(instances.map(({ metadata }) => metadata.uid))
  await caughtUp(deps.instances, deps.clock, () =>
    ended.every((name) => {
      const seen = deps.instances.get(name)?.metadata
      return !uids.has(seen?.uid) || seen?.deletionTimestamp !== undefined
    }),
  )
  return ended
}

const boundaryKinds = { per_role: "role", per_group: "group", per_user: "user" } as const

/**
 * A filter for the instances of a user, role or group, given as subject key or as issuer/name. Throws InvalidParams.
 */
const belongsTo = (call: Call, target: MCPTarget, subject: string): ((instance: MCPInstance) => boolean) => {
  const { isolationBoundary, subjectKey } = target.spec
  const isKey = subject === "shared" || /^[^:]+:[a-z2-7]{26}$/.test(subject)
  if (isKey || isolationBoundary === "shared" || subjectKey !== undefined)
    return ({ spec }) => spec.subjectKey === subject
  const who = parseWho(subject, call.deps.access.issuers)
  const key = sharerKey(sharerNamed(boundaryKinds[isolationBoundary], who))
  return ({ spec }) => spec.subjectKey === key || spec.subjectKey === subject
}

/** A remote target has no instances: its sessions end, those of all callers. Throws InvalidParams for a subject. */
const restartRemote = async (call: Call, target: MCPTarget, subject: string | undefined): Promise<Answer> => {
  if (subject !== undefined)
    throw new AppError("InvalidParams", {
      detail: "The server of this target is remote: a restart ends the sessions of everybody. Leave out subject.",
    })
  await endSessions(call, target)
  return { body: { restarted: 0, instances: [] } }
}

/** POST /api/targets/{id}/restart-instances */
export const restartInstances: Handler = async (call) => {
  const { subject, drain } = parseBody(RestartInput, orEmpty(await call.body()))
  const target = await requireTarget(call)
  if (isRemote(target)) return await restartRemote(call, target, subject)
  const all = await listInstancesOf(call, target)
  const chosen = subject === undefined ? all : all.filter(belongsTo(call, target, subject))
  // a retained instance is not created again by requests, so it is not deleted: the operator replaces its Pod
  const [kept, others] = [chosen.filter(isRetained), chosen.filter((each) => !isRetained(each))]
  const ended = drain === true ? [] : await endInstances(call, others)
  const drained = await drainInstances(call, drain === true ? chosen : kept)
  const instances = [...ended, ...drained].sort()
  return { body: { restarted: instances.length, instances } }
}
