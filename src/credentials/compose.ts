import type { MCPTarget } from "../api/mcp-target.ts"
import { AppError } from "../errors.ts"
import type { ClusterPort } from "../ports/cluster.ts"
import { findValueErrors } from "./names.ts"
import { type Holder, type ScopeRef, scopeNames, scopesOf } from "./scopes.ts"
import { readValues, type ScopeState } from "./store.ts"

/** What an instance's Secret is made of. */
export type Composition = {
  /** Environment variables; secret. */
  readonly values: Readonly<Record<string, string>>
  /** Names of the scope Secrets that were looked at, present or not, weakest first. */
  readonly scopes: readonly string[]
  /** When the first of the resolved values expires, in milliseconds since the epoch. */
  readonly expiresAt?: number
  /** True if one of the scope Secrets was written since: then these values are not the ones that apply. */
  readonly changed: (signal: AbortSignal) => Promise<boolean>
}

/** A value that a resolver found. */
export type ResolvedValue = { readonly value: string; readonly expiresAt?: number }

/**
 * Resolves one entry of the target's `secrets` for the sharer, never for the caller of the moment. Throws an AppError
 * with the plugin's name if there is no value.
 */
export type ResolveSecret = (request: {
  readonly target: MCPTarget
  readonly holder: Holder
  /** Environment variable that the value becomes. */
  readonly name: string
  /** `scheme:reference`. */
  readonly from: string
  readonly signal: AbortSignal
}) => Promise<ResolvedValue>

/** Composes the values of one sharer's instance. Throws CredentialMissing, InstanceFailed, PluginFailed, or what the cluster throws. */
export type Compose = (target: MCPTarget, holder: Holder, signal: AbortSignal) => Promise<Composition>

/** What composition needs. */
export type ComposeDeps = {
  readonly cluster: ClusterPort
  readonly namespace: string
  /** Absent while no plugin resolves secrets: a target that asks for them is then refused. */
  readonly resolve?: ResolveSecret
  /** Where the caller can set a missing credential. */
  readonly credentialURL?: (target: MCPTarget) => string
}

/** Scope Secrets that are read at once. */
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

/** What layers say together, the later ones stronger, whatever their names are; and which of it is garbled. */
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

const ensureComplete = (deps: ComposeDeps, target: MCPTarget, values: Readonly<Record<string, string>>): void => {
  const names = (target.spec.credentials ?? [])
    .filter(({ name, required }) => required === true && !Object.hasOwn(values, name))
    .map(({ name }) => name)
  if (names.length === 0) return
  const url = deps.credentialURL?.(target)
  throw new AppError("CredentialMissing", {
    detail: `${target.metadata.name} needs ${names.length === 1 ? "the credential" : "the credentials"} ${names.join(", ")}.`,
    data: { names, ...(url === undefined ? {} : { url }) },
  })
}

/**
 * Makes the composer: what the target's resolvers say, overlaid by its scopes from the weakest to the strongest, so
 * that a user's own value is stronger than one that everyone gets.
 */
export const createCompose =
  (deps: ComposeDeps): Compose =>
  async (target, holder, signal) => {
    const scopes = scopesOf(target, holder)
    const resolve = deps.resolve ?? noResolver
    const [resolved, found] = await Promise.all([
      Promise.all(
        (target.spec.secrets ?? []).map(async ({ name, from }) => ({
          name,
          ...(await resolve({ target, holder, name, from, signal })),
        })),
      ),
      readScopes(deps, target, scopes, signal),
    ])
    const base = Object.fromEntries(resolved.map(({ name, value }) => [name, value]))
    const together = overlay([{ values: base, garbled: [] }, ...found])
    const { values } = together
    ensureUsable(target, together)
    ensureComplete(deps, target, values)
    const expiries = resolved.flatMap(({ expiresAt }) => (expiresAt === undefined ? [] : [expiresAt]))
    return {
      values,
      scopes: scopeNames(target, scopes),
      changed: async (until) => versionsOf(await readScopes(deps, target, scopes, until)) !== versionsOf(found),
      ...(expiries.length === 0 ? {} : { expiresAt: Math.min(...expiries) }),
    }
  }
