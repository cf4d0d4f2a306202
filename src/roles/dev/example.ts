import type { MCPTarget } from "../../api/kinds/mcp-target.ts"
import type { Config } from "../../config/schema.ts"
import { createCompose } from "../../credentials/compose.ts"
import { type AppError, isAppError } from "../../errors.ts"
import { configuredIssuers, createAccess } from "../../identity/access.ts"
import type { Identity } from "../../identity/identity.ts"
import { subjectKeyFor } from "../../identity/subject-key.ts"
import type { PluginHost } from "../../plugin/host.ts"
import type { ClusterPort } from "../../ports/cluster.ts"

/** Dependencies of {@link createExample}. */
type ExampleDeps = {
  readonly cluster: ClusterPort
  readonly config: Config
  readonly plugins: PluginHost
  readonly signal: AbortSignal
}

/** Whether a caller can use a target. */
export type Finding = {
  readonly name: string
  /** Why a call would be refused, as the end of a sentence that begins with the target's name; undefined = usable. */
  readonly whyNot?: string
  /** Names of the missing credential values, if nothing else prevents the call. */
  readonly missing?: readonly string[]
}

const namesIn = ({ data }: AppError): readonly string[] =>
  Array.isArray(data?.names) ? data.names.filter((name) => typeof name === "string") : []

const refusal = (name: string, error: unknown): Finding => {
  if (!isAppError(error)) throw error
  if (error.code !== "CredentialMissing") return { name, whyNot: error.message }
  const missing = namesIn(error)
  return { name, whyNot: `needs a value for ${missing.join(", ")}`, missing }
}

/** Why nobody can use the target with a token of the role dev; undefined if nothing is found. */
const faultOf = ({ spec }: MCPTarget): string | undefined => {
  if (spec.paused === true) return "is paused"
  if ((spec.requiredScopes ?? []).length > 0) return "needs a token with OAuth scopes, which an issuer gives"
  if (spec.remote === undefined && spec.package === undefined && (spec.command ?? []).length === 0)
    return "has no command, which the embedded cluster would run"
  return undefined
}

/**
 * Creates a function that finds out whether a caller can use a target now: access, subject key and credential values.
 * Starts no instance and calls no secret resolver.
 */
export const createExample = ({ cluster, config, plugins, signal }: ExampleDeps) => {
  const issuers = configuredIssuers(config.auth, { dev: true })
  const access = createAccess({ issuers, adminRoles: config.auth.admin_roles })
  const compose = createCompose({
    cluster,
    namespace: config.kubernetes.namespace,
    resolve: async () => ({ value: "a plugin's" }),
  })
  return async (target: MCPTarget, identity: Identity): Promise<Finding> => {
    const { name } = target.metadata
    const fault = faultOf(target)
    if (fault !== undefined) return { name, whyNot: fault }
    if (!access.mayUse(target, identity)) return { name, whyNot: `does not name ${identity.subject} in its access` }
    try {
      const subjectKey = await subjectKeyFor(target, identity, { issuers, strategies: plugins.subjectKey })
      const { issuer, subject, groups, roles } = identity
      await compose(target, { subjectKey, issuer, subject, groups, roles }, signal)
      return { name }
    } catch (error) {
      return refusal(name, error)
    }
  }
}
