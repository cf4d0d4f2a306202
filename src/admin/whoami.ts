import type { MCPTarget } from "../api/mcp-target.ts"
import { isAppError } from "../errors.ts"
import { subjectKeyFor } from "../identity/subject-key.ts"
import type { Call, Handler } from "./call.ts"
import { toPage } from "./page.ts"

/** The caller's subject key for a target, or why there is none. */
const keyFor = async ({ deps, identity, requestId }: Call, target: MCPTarget) => {
  const { name } = target.metadata
  const { access, strategies } = deps
  try {
    const options = { issuers: access.issuers, requestId, ...(strategies === undefined ? {} : { strategies }) }
    return { name, subject_key: await subjectKeyFor(target, identity, options) }
  } catch (error) {
    if (isAppError(error)) return { name, denied: error.message }
    throw error
  }
}

/** GET /api/whoami: the identity as the gateway sees it, and its subject key for each target that it may use. */
export const whoami: Handler = async (call) => {
  const { identity, admin, deps } = call
  const { source, issuer, subject, email, groups, roles, scopes } = identity
  const usable = [...deps.targets.items()].filter((target) => deps.access.mayUse(target, identity))
  const page = toPage(usable, call.query)
  return {
    body: {
      identity: { source, issuer, subject, email, groups, roles, scopes, admin },
      targets: await Promise.all(page.items.map((target) => keyFor(call, target))),
      continue: page.continue,
    },
  }
}
