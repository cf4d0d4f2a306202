import { type MCPTarget, mcpTargetKind } from "../api/mcp-target.ts"
import { AppError, hasCode } from "../errors.ts"
import { type Call, caughtUp, type Handler, requireTarget } from "./call.ts"
import { ensurePreconditions } from "./if-match.ts"
import { toPage } from "./page.ts"
import { etagHeader, toTarget, viewTarget, viewWritten } from "./target-view.ts"

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
  const headers = { location: `/api/targets/${name}`, ...etagHeader(created) }
  return { status: 201, headers, body: viewWritten(call, created) }
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
  return { headers: etagHeader(target), body: viewTarget(call, target) }
}

/** Deletes the very version that If-Match names, if it names one; else whichever there is. */
const remove = async (call: Call): Promise<MCPTarget> => {
  const { cluster, namespace } = call.deps
  for (;;) {
    const target = await requireTarget(call)
    ensurePreconditions(call.headers, target)
    const { name, uid, resourceVersion } = target.metadata
    const exact = call.headers.has("if-match") && resourceVersion !== undefined ? { resourceVersion } : {}
    const preconditions = { ...(uid === undefined ? {} : { uid }), ...exact }
    try {
      await cluster.delete(mcpTargetKind, { namespace, name }, { signal: call.signal, preconditions })
      return target
    } catch (error) {
      // written meanwhile, maybe its status only: the next look tells
      if (!hasCode(error, "ApiConflict")) throw error
    }
  }
}

/** DELETE /api/targets/{id}: its instances and credentials go with it, since it owns them. */
export const deleteTarget: Handler = async (call) => {
  const { targets, clock } = call.deps
  const { name, uid } = (await remove(call)).metadata
  await caughtUp(targets, clock, () => {
    const seen = targets.get(name)?.metadata
    return seen?.uid !== uid || seen?.deletionTimestamp !== undefined
  })
  return { status: 204 }
}
