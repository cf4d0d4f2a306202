import { apiVersion } from "../api/kind.ts"
import { type MCPTarget, MCPTargetSpec, MCPTargetStatus, mcpTargetKind, targetRules } from "../api/mcp-target.ts"
import { findDeclarationErrors } from "../credentials/names.ts"
import { AppError, hasCode } from "../errors.ts"
import { type Call, caughtUp, type Handler, requireTarget } from "./call.ts"
import { publicTargetFields } from "./operations.ts"
import { toPage } from "./page.ts"
import { TargetInput } from "./resources.ts"
import { fromRest, toRest } from "./rest.ts"
import { brokenRules, fromPaths, parseBody, validationFailed } from "./validation.ts"

/** A target for the caller: whole for administrators, else what its users need to know. */
const viewTarget = (call: Call, { metadata, spec, status }: MCPTarget): Record<string, unknown> => {
  if (!call.admin) {
    const visible = Object.entries(spec).filter(([field]) => publicTargetFields.includes(field))
    return { name: metadata.name, ...toRest(MCPTargetSpec, Object.fromEntries(visible)) }
  }
  return {
    name: metadata.name,
    ...toRest(MCPTargetSpec, spec),
    generation: metadata.generation,
    created_time: metadata.creationTimestamp,
    ...(metadata.deletionTimestamp === undefined ? {} : { deleting: true }),
    ...(status === undefined ? {} : { status: toRest(MCPTargetStatus, status) }),
  }
}

const etagOf = ({ metadata }: MCPTarget): Readonly<Record<string, string>> =>
  metadata.generation === undefined ? {} : { etag: `"${metadata.generation}"` }

/** The target that a body describes. Throws `ValidationFailed`. */
const toTarget = (body: unknown, namespace: string): MCPTarget => {
  const { name, ...fields } = parseBody(TargetInput, body)
  const spec = MCPTargetSpec.parse(fromRest(MCPTargetSpec, fields))
  const target: MCPTarget = { apiVersion, kind: mcpTargetKind.kind, metadata: { name, namespace }, spec }
  const problems = [...brokenRules(targetRules, target), ...fromPaths(findDeclarationErrors(spec))]
  if (problems.length > 0) throw validationFailed(problems)
  return target
}

const create = async ({ deps, signal }: Call, target: MCPTarget): Promise<MCPTarget> => {
  try {
    return await deps.cluster.create(mcpTargetKind, target, { signal })
  } catch (error) {
    if (hasCode(error, "ApiAlreadyExists"))
      throw new AppError("AlreadyExists", {
        detail: `A target named ${target.metadata.name} exists already.`,
        cause: error,
      })
    // the API server's own words quote the object's values
    if (hasCode(error, "ApiInvalid"))
      throw new AppError("ValidationFailed", { detail: "The cluster refused the target as invalid.", cause: error })
    throw error
  }
}

/** POST /api/targets */
export const createTarget: Handler = async (call) => {
  const { targets, clock, namespace } = call.deps
  const created = await create(call, toTarget(await call.body(), namespace))
  const { name, uid } = created.metadata
  await caughtUp(targets, clock, () => targets.get(name)?.metadata.uid === uid)
  const headers = { location: `/api/targets/${name}`, ...etagOf(created) }
  return { status: 201, headers, body: viewTarget(call, created) }
}

/** GET /api/targets */
export const listTargets: Handler = (call) => {
  const { targets, access } = call.deps
  const visible = [...targets.items()].filter((target) => call.admin || access.mayUse(target, call.identity))
  const page = toPage(visible, call.query)
  return { body: { ...page, items: page.items.map((target) => viewTarget(call, target)) } }
}

/** GET /api/targets/{id} */
export const getTarget: Handler = async (call) => {
  const target = await requireTarget(call)
  return { headers: etagOf(target), body: viewTarget(call, target) }
}

/** DELETE /api/targets/{id}: its instances and credentials go with it, since it owns them. */
export const deleteTarget: Handler = async (call) => {
  const { cluster, namespace, targets, clock } = call.deps
  const { name, uid } = (await requireTarget(call)).metadata
  const preconditions = uid === undefined ? {} : { uid }
  await cluster.delete(mcpTargetKind, { namespace, name }, { signal: call.signal, preconditions })
  await caughtUp(targets, clock, () => {
    const seen = targets.get(name)?.metadata
    return seen?.uid !== uid || seen?.deletionTimestamp !== undefined
  })
  return { status: 204 }
}
