import type { MCPTarget } from "../api/kinds/mcp-target.ts"
import { AppError, hasCode } from "../errors.ts"
import type { ClusterPort } from "../ports/cluster.ts"
import { credentialMissing } from "./explain.ts"
import { findValueErrors } from "./names.ts"
import { type Holder, type ScopeRef, scopeNames, scopesOf } from "./scopes.ts"
import { readValues, type ScopeState } from "./store.ts"

/** The credentials of one sharer, and the scope Secrets that they come from. */
export type Composition = {
  /** Environment variables of an instance, or values for the headers of a remote server; secret. */
  readonly values: Readonly<Record<string, string>>
  /** Those of the values that the scope Secrets hold, without the resolvers'; secret. */
  readonly scoped: Readonly<Record<string, string>>
  /** Names of the scope Secrets that were read, present or not, weakest first. */
  readonly scopes: readonly string[]
  /** When the first of the resolved values expires, in milliseconds since the epoch. */
  readonly expiresAt?: number
  /** True if one of the scope Secrets was written, created or deleted since: then these values are outdated. */
  readonly changed: (signal: AbortSignal) => Promise<boolean>
}

/** A value that a resolver found. */
type ResolvedValue = { readonly value: string; readonly expiresAt?: number }

/**
 * Resolves one entry of the target's `secrets` for the sharer of the instance, not for the caller of the current
 * request. Throws CredentialMissing, with the plugin's reason as its text, if the sharer has no value, and another
 * AppError with the plugin's name if the plugin failed.
 */
export type ResolveSecret = (request: {
  readonly target: MCPTarget
  readonly holder: Holder
  /** Environment variable that the value becomes. */
  readonly name: string
  /** `scheme:reference`. */
  readonly from: string
  /** Id of the request that started the creation of the instance, for the log. */
  readonly requestId?: string | undefined
  readonly signal: AbortSignal
}) => Promise<ResolvedValue>

/**
 * Composes the credentials of one sharer; `requestId` is for the log. Throws CredentialMissing, InstanceFailed,
 * PluginFailed, or what the cluster throws.
 */
export type Compose = (
  target: MCPTarget,
  holder: Holder,
  signal: AbortSignal,
  requestId?: string,
) => Promise<Composition>

/** Dependencies of composition. */
type ComposeDeps = {
  readonly cluster: ClusterPort
  readonly namespace: string
  /** Absent while no plugin resolves secrets: a target that asks for them is then refused. */
  readonly resolve?: ResolveSecret
  /** URL of the REST API, where missing credentials can be set. */
  readonly apiUrl?: string
}

/** Most scope Secrets that are read in parallel. */
const parallelReads = 16

const noResolver: ResolveSecret = async ({ from, name }) => {
  throw new AppError("PluginFailed", {
    detail: `No plugin resolves '${from.split(":", 1)[0]}:' for ${name}.`,
    data: { name },
  })
}

const readScopes = async (
  { cluster, namespace }: ComposeDeps,
  target: MCPTarget,
  scopes: readonly ScopeRef[],
  signal: AbortSignal,
): Promise<readonly ScopeState[]> => {
  const found: ScopeState[] = []
  for (let start = 0; start < scopes.length; start += parallelReads) {
    const some = scopes.slice(start, start + parallelReads)
    found.push(...(await Promise.all(some.map((each) => readValues({ cluster, namespace, target, ...each, signal })))))
  }
  return found
}

const versionsOf = (states: readonly ScopeState[]): string => states.map(({ version }) => version).join()

type Layer = Pick<ScopeState, "values" | "garbled">
type Together = Layer & { readonly values: Readonly<Record<string, string>> }

/** Merges layers; the last value of a name counts. `garbled` has the names whose merged value is garbled. */
const overlay = (layers: readonly Layer[]): Together => {
  const values = new Map<string, string>()
  const garbled = new Set<string>()
  for (const layer of layers)
    for (const [name, value] of Object.entries(layer.values ?? {})) {
      values.set(name, value)
      if (layer.garbled.includes(name)) garbled.add(name)
      else garbled.delete(name)
    }
  return { values: Object.fromEntries(values), garbled: [...garbled] }
}

const ensureUsable = (target: MCPTarget, { values, garbled }: Together): void => {
  const errors = [
    ...garbled.map((name) => ({ path: `values.${name}`, rule: "unicode", message: "must be UTF-8" })),
    ...findValueErrors(target, values),
  ]
  if (errors.length === 0) return
  throw new AppError("InstanceFailed", {
    detail: `A credential of ${target.metadata.name} cannot be used: ${errors[0]?.path} ${errors[0]?.message}.`,
    data: { reason: "CredentialInvalid", errors },
  })
}

/**
 * Throws CredentialMissing for required credentials without a value, and for each entry of `secrets` for which the
 * resolver has no value, unless the target's `credentials` list its name as not required.
 */
const ensureComplete = (
  deps: ComposeDeps,
  target: MCPTarget,
  values: Readonly<Record<string, string>>,
  none: ReadonlyMap<string, string>,
): void => {
  const { credentials = [] } = target.spec
  const required = credentials.filter((each) => each.required === true)
  const listed = new Set(credentials.map(({ name }) => name))
  const unlisted = [...none.keys()].filter((name) => !listed.has(name)).map((name) => ({ name }))
  const missing = [...required, ...unlisted]
    .filter(({ name }) => !Object.hasOwn(values, name))
    .map((each) => ({ ...each, reason: none.get(each.name) ?? "" }))
  if (missing.length > 0) throw credentialMissing(target, missing, deps.apiUrl)
}

type Resolved = { readonly name: string } & ({ readonly value: ResolvedValue } | { readonly none: string })

/** Resolves one variable: its value, or the plugin's reason why it has none. */
const ask = async (resolve: ResolveSecret, request: Parameters<ResolveSecret>[0]): Promise<Resolved> => {
  const { name } = request
  try {
    return { name, value: await resolve(request) }
  } catch (error) {
    if (hasCode(error, "CredentialMissing")) return { name, none: error.message }
    throw error
  }
}

/**
 * Makes the composer. It merges the values of the target's resolvers with those of its scopes, from the weakest to the
 * strongest, so that a user's own value replaces one that everyone gets.
 */
export const createCompose =
  (deps: ComposeDeps): Compose =>
  async (target, holder, signal, requestId) => {
    const scopes = scopesOf(target, holder)
    const resolve = deps.resolve ?? noResolver
    const [resolved, found] = await Promise.all([
      Promise.all(
        (target.spec.secrets ?? []).map(({ name, from }) =>
          ask(resolve, { target, holder, name, from, requestId, signal }),
        ),
      ),
      readScopes(deps, target, scopes, signal),
    ])
    const given = resolved.flatMap((each) => ("value" in each ? [{ name: each.name, ...each.value }] : []))
    const none = new Map(resolved.flatMap((each) => ("none" in each ? [[each.name, each.none] as const] : [])))
    const base = Object.fromEntries(given.map(({ name, value }) => [name, value]))
    const together = overlay([{ values: base, garbled: [] }, ...found])
    const { values } = together
    ensureUsable(target, together)
    ensureComplete(deps, target, values, none)
    const expiries = given.flatMap(({ expiresAt }) => (expiresAt === undefined ? [] : [expiresAt]))
    return {
      values,
      scoped: overlay(found).values,
      scopes: scopeNames(target, scopes),
      changed: async (until) => versionsOf(await readScopes(deps, target, scopes, until)) !== versionsOf(found),
      ...(expiries.length === 0 ? {} : { expiresAt: Math.min(...expiries) }),
    }
  }
