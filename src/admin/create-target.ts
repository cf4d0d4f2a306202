import { type MCPTarget, mcpTargetKind } from "../api/kinds/mcp-target.ts"
import { AppError, hasCode } from "../errors.ts"
import { type Call, caughtUp, type Handler } from "./call.ts"
import { hasDocument, targetOfDocument } from "./target-document.ts"
import { etagHeader, toTarget, viewWritten } from "./targets.ts"

const create = async ({ deps, signal }: Call, target: MCPTarget): Promise<MCPTarget> => {
  try {
    return await deps.cluster.create(mcpTargetKind, target, { signal })
  } catch (error) {
    if (hasCode(error, "ApiAlreadyExists"))
      throw new AppError("AlreadyExists", {
        detail: `A target named ${target.metadata.name} exists already.`,
        cause: error,
      })
    // the API server's message quotes values of the object, so it is only the cause, for the log
    if (hasCode(error, "ApiInvalid"))
      throw new AppError("ValidationFailed", { detail: "The cluster refused the target as invalid.", cause: error })
    throw error
  }
}

/** POST /api/targets: the body has the fields of the target, or a document that it is made of. */
export const createTarget: Handler = async (call) => {
  const { targets, clock, namespace } = call.deps
  const body = await call.body()
  const { target, warnings } = hasDocument(body)
    ? targetOfDocument(body, { namespace, now: clock.now() })
    : { target: toTarget(body, namespace), warnings: [] }
  const created = await create(call, target)
  const { name, uid } = created.metadata
  await caughtUp(targets, clock, () => targets.get(name)?.metadata.uid === uid)
  const headers = { location: `/api/targets/${name}`, ...etagHeader(created) }
  return { status: 201, headers, body: viewWritten(call, created, warnings) }
}
