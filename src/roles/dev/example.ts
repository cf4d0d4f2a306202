import type { MCPTarget } from "../../api/kinds/mcp-target.ts"
import type { Config } from "../../config/schema.ts"
import { createCompose } from "../../credentials/compose.ts"
import { type AppError, isAppError } from "../../errors.ts"
import { configuredIssuers, createAccess } from "../../identity/access.ts"
import type { Identity } from "../../identity/identity.ts"
import { subjectKeyFor } from "../../identity/subject-key.ts"
import type { PluginHost } from "../../plugin/host.ts"
import type { ClusterPort } from "../../ports/cluster.ts"

/** What the judgement needs. */
type ExampleDeps = {
  readonly cluster: ClusterPort
  readonly config: Config
  readonly plugins: PluginHost
  readonly signal: AbortSignal
}

/** What is found of a target. */
export type Finding = {
  readonly name: string
  /** Why a call would be refused, as a part of a sentence after the target's name; undefined: it may be tried. */
  readonly whyNot?: string
  /** Names of the values that are missing, if only they are. */
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

/** What can be seen of the target itself. */
const faultOf = ({ spec }: MCPTarget): string | undefined => {
  if (spec.paused === true) return "is paused"
  if ((spec.requiredScopes ?? []).length > 0) return "needs a token with OAuth scopes, which an issuer gives"
  if ((spec.command ?? []).length === 0) return "has no command, which the embedded cluster would run"
  return undefined
}

/**
 * Makes the judge of whether somebody without groups and roles can use a target as it stands: may they, is there an
 * instance for them, has it what it needs. Starts nothing, and asks no plugin for values.
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
