import { createHmac } from "node:crypto"
import { fromSecretData, garbledNames, type Secret, secretKind, toSecretData } from "../api/kinds/kubernetes.ts"
import type { MCPTarget } from "../api/kinds/mcp-target.ts"
import { type CredentialScope, labels, scopeSecretName } from "../api/names.ts"
import { AppError, hasCode } from "../errors.ts"
import type { ClusterPort } from "../ports/cluster.ts"
import { checkValues, type NameRules } from "./names.ts"
import { type ScopeOwner, scopesAllowed } from "./scopes.ts"

/** A call about one scope of a target. */
export type ScopeCall = {
  readonly cluster: ClusterPort
  readonly target: MCPTarget
  readonly namespace: string
  readonly scope: CredentialScope
  /** Absent for `default`. */
  readonly who?: ScopeOwner | undefined
  readonly signal: AbortSignal
}

/** What a caller may see of a scope: never its values. */
export type ScopeSummary = {
  /** Name of the Secret. */
  readonly secret: string
  /** Names that have a value, sorted. */
  readonly names: readonly string[]
  /** When a gateway last wrote it (RFC 3339); its creation if only kubectl did. */
  readonly updatedTime: string
  /** HMAC-SHA256 of the values, 16 hex digits; keyed with the Secret's UID, so that short values cannot be guessed. */
  readonly digest: string
}

/** How often a write is tried again after somebody else wrote the same scope. */
const maxConflicts = 5

const isOwner = (target: MCPTarget) => (reference: { readonly kind: string; readonly uid: string }) =>
  reference.kind === target.kind && reference.uid === target.metadata.uid

const managedBy = "app.kubernetes.io/managed-by"

/**
 * False for a Secret of a deleted target of the same name: its users gave the values to another server, so they must
 * not be used. A Secret without an owner belonged to such a target if a gateway made it (then `--cascade=orphan`
 * removed the owner); if a person made it, it belongs to this target.
 */
const belongsTo = (target: MCPTarget, { metadata }: Secret): boolean => {
  const owners = metadata.ownerReferences ?? []
  return owners.some(isOwner(target)) || (owners.length === 0 && metadata.labels?.[managedBy] !== "reflow")
}

const fetchScope = async (call: ScopeCall): Promise<{ name: string; secret: Secret | undefined }> => {
  const name = scopeSecretName(call.target.metadata.name, call.scope, call.who)
  const secret = await call.cluster.get(secretKind, { namespace: call.namespace, name }, { signal: call.signal })
  return { name, secret }
}

/** What one scope's Secret holds. */
export type ScopeState = {
  /** Undefined if the scope has none. */
  readonly values: Readonly<Record<string, string>> | undefined
  /** Names whose bytes in the Secret are not UTF-8: their decoded values differ from the Secret's. */
  readonly garbled: readonly string[]
  /** Changes whenever the Secret is written, created or deleted. */
  readonly version: string
}

/** The values of one scope. Only for composition: values never leave by an API. */
export const readValues = async (call: ScopeCall): Promise<ScopeState> => {
  const { secret } = await fetchScope(call)
  const data = secret === undefined || !belongsTo(call.target, secret) ? undefined : (secret.data ?? {})
  return {
    values: data === undefined ? undefined : fromSecretData(data),
    garbled: garbledNames(data),
    version: secret?.metadata.resourceVersion ?? "absent",
  }
}

const summarize = (secret: Secret): ScopeSummary => {
  const values = Object.entries(fromSecretData(secret.data)).sort(([a], [b]) => (a < b ? -1 : 1))
  return {
    secret: secret.metadata.name,
    names: values.map(([name]) => name),
    updatedTime: secret.metadata.annotations?.[labels.updatedTime] ?? secret.metadata.creationTimestamp ?? "",
    digest: createHmac("sha256", secret.metadata.uid ?? "")
      .update(JSON.stringify(values))
      .digest("hex")
      .slice(0, 16),
  }
}

/** Throws `ScopeTooNarrow` if instances of the target are shared more widely than the scope. */
export const ensureAllowed = ({ target, scope }: Pick<ScopeCall, "target" | "scope">): void => {
  const allowed = scopesAllowed(target)
  if (allowed.includes(scope)) return
  throw new AppError("ScopeTooNarrow", {
    detail: `Instances of ${target.metadata.name} are shared more widely than the scope '${scope}'.`,
    data: { scope, allowed },
  })
}

/** The summary of a scope, or undefined if it has no Secret. Throws `ScopeTooNarrow`. */
export const readScope = async (call: ScopeCall): Promise<ScopeSummary | undefined> => {
  ensureAllowed(call)
  const { secret } = await fetchScope(call)
  return secret === undefined || !belongsTo(call.target, secret) ? undefined : summarize(secret)
}

const newScopeSecret = (
  call: ScopeCall,
  name: string,
  values: Readonly<Record<string, string>>,
  now: string,
): Secret => {
  const { target, namespace, scope } = call
  return {
    apiVersion: secretKind.apiVersion,
    kind: secretKind.kind,
    metadata: {
      name,
      namespace,
      labels: {
        [managedBy]: "reflow",
        "app.kubernetes.io/part-of": "reflow-gateway",
        [labels.target]: target.metadata.name,
        [labels.scope]: scope,
      },
      annotations: { [labels.updatedTime]: now },
      ownerReferences: [
        {
          apiVersion: target.apiVersion,
          kind: target.kind,
          name: target.metadata.name,
          uid: target.metadata.uid ?? "",
        },
      ],
    },
    type: "Opaque",
    data: toSecretData(values),
  }
}

type Write = ScopeCall & { readonly now: string }
type Values = Readonly<Record<string, string>>

/**
 * One try: creates the Secret, or changes the resource version that was read. Deletes a Secret of a deleted target of
 * the same name first. Throws ApiConflict, ApiAlreadyExists or ApiNotFound if another write came in between.
 */
const writeOnce = async (call: Write, next: (before: Values) => Values): Promise<ScopeSummary> => {
  const { cluster, namespace, target, scope, signal, now } = call
  const { name, secret: found } = await fetchScope(call)
  const before = found !== undefined && belongsTo(target, found) ? found : undefined
  if (found !== undefined && before === undefined)
    await cluster.delete(secretKind, { namespace, name }, { signal, preconditions: preconditionsOf(found) })
  const values = next(before === undefined ? {} : fromSecretData(before.data))
  if (before === undefined)
    return summarize(await cluster.create(secretKind, newScopeSecret(call, name, values, now), { signal }))
  const removed = Object.keys(before.data ?? {}).filter((each) => !Object.hasOwn(values, each))
  const { ownerReferences } = newScopeSecret(call, name, values, now).metadata
  const patch = {
    metadata: {
      resourceVersion: before.metadata.resourceVersion,
      labels: { [labels.target]: target.metadata.name, [labels.scope]: scope },
      annotations: { [labels.updatedTime]: now },
      ownerReferences,
    },
    data: { ...toSecretData(values), ...Object.fromEntries(removed.map((each) => [each, null])) },
  }
  return summarize(await cluster.mergePatch(secretKind, { namespace, name }, patch, { signal }))
}

const preconditionsOf = ({ metadata: { uid } }: Secret) => (uid === undefined ? {} : { uid })

const write = async (call: Write, next: (before: Values) => Values): Promise<ScopeSummary> => {
  ensureAllowed(call)
  for (let conflicts = 0; ; conflicts++) {
    try {
      return await writeOnce(call, next)
    } catch (error) {
      const raced = hasCode(error, "ApiConflict", "ApiAlreadyExists", "ApiNotFound")
      if (!raced) throw error
      if (conflicts < maxConflicts) continue
      throw new AppError("Conflict", {
        detail: "The credentials of this scope are being changed by others.",
        cause: error,
      })
    }
  }
}

/** A write to one scope. `now` is in milliseconds since the epoch, by default the current time. */
export type ScopeWrite = ScopeCall & NameRules & { readonly now?: number }

const nowOf = ({ now }: ScopeWrite): string => new Date(now ?? Date.now()).toISOString()

/**
 * Replaces all values of a scope by `values`.
 * @throws ScopeTooNarrow, ValidationFailed, Conflict
 */
export const setScope = async (call: ScopeWrite & { readonly values: Values }): Promise<ScopeSummary> => {
  checkValues(call.target, call.values, call)
  return await write({ ...call, now: nowOf(call) }, () => call.values)
}

/**
 * Changes single values of a scope: null removes a value (RFC 7396), names that are not given stay.
 * @throws ScopeTooNarrow, ValidationFailed (also if the result is too large), Conflict
 */
export const mergeScope = async (
  call: ScopeWrite & { readonly values: Readonly<Record<string, string | null>> },
): Promise<ScopeSummary> => {
  const given = Object.entries(call.values).filter((entry): entry is [string, string] => entry[1] !== null)
  checkValues(call.target, Object.fromEntries(given), call)
  return await write({ ...call, now: nowOf(call) }, (before) => {
    const kept = Object.entries(before).filter(([name]) => !Object.hasOwn(call.values, name))
    const values = Object.fromEntries([...kept, ...given])
    checkValues(call.target, values)
    return values
  })
}

/** Deletes the Secret of a scope. `absent` if there was none. */
export const deleteScope = async (call: ScopeCall): Promise<"deleted" | "absent"> => {
  const name = scopeSecretName(call.target.metadata.name, call.scope, call.who)
  return await call.cluster.delete(secretKind, { namespace: call.namespace, name }, { signal: call.signal })
}
