import type { z } from "zod"
import type { MCPTarget } from "../api/kinds/mcp-target.ts"
import { isRemote } from "../api/kinds/remote.ts"
import { type CredentialScope, credentialScopes } from "../api/names.ts"
import { type FieldError, findNameErrors, findValueErrors, type NameRules } from "../credentials/names.ts"
import { instancesOf, scopeNames } from "../credentials/scopes.ts"
import {
  deleteScope,
  ensureAllowed,
  mergeScope,
  readScope,
  type ScopeSummary,
  type ScopeWrite,
  setScope,
} from "../credentials/store.ts"
import { AppError, hasCode } from "../errors.ts"
import { announceChange } from "./announcement.ts"
import { type Call, type Handler, listInstancesOf, requireTarget } from "./call.ts"
import { refuseVersions } from "./if-match.ts"
import { type Values, ValuesInput, ValuesPatch } from "./resources.ts"
import { drainInstances } from "./restart.ts"
import { parseBody, toPointer, validationFailed } from "./validation.ts"
import { formerly, parseWho, type Who, whoText } from "./who.ts"

/** The credential scope of a call. */
type Scope = {
  readonly scope: CredentialScope
  readonly who?: Who
  /** True: only names that the target declares may be set. */
  readonly declaredOnly: boolean
}

const isScope = (text: string): text is CredentialScope => (credentialScopes as readonly string[]).includes(text)

const noSuchScope = (detail: string): AppError => new AppError("RouteNotFound", { detail })

/** How to find the scope of a call. */
type Scopes = {
  /** The scope to write. Throws InvalidParams for an issuer that is not configured: its values would never be used. */
  readonly now: (call: Call) => Scope
  /** The scopes to read or delete: those that an earlier write with this path may have used, the likeliest first. */
  readonly before: (call: Call) => readonly Scope[]
}

const ownScope = ({ identity }: Call): Scope => ({
  scope: "user",
  who: { issuer: identity.issuer, name: identity.subject },
  declaredOnly: true,
})

const own: Scopes = { now: ownScope, before: (call) => [ownScope(call)] }

/** The scope of the path, and the text of its role, group or user; no text for `default`. */
const namedScope = ({ params }: Call): { readonly scope: CredentialScope; readonly text?: string } => {
  const { scope = "", who } = params
  if (!isScope(scope)) throw noSuchScope("The scopes of credentials are default, role, group, user and me.")
  if (scope === "default") {
    if (who !== undefined) throw noSuchScope("The scope default has no name: end the path after it.")
    return { scope }
  }
  if (who === undefined) throw noSuchScope(`Say whose values: end the path with ${scope}/ISSUER/NAME.`)
  return { scope, text: who }
}

const named: Scopes = {
  now: (call) => {
    const { scope, text } = namedScope(call)
    const who = text === undefined ? {} : { who: parseWho(text, call.deps.access.issuers) }
    return { scope, ...who, declaredOnly: false }
  },
  before: (call) => {
    const { scope, text } = namedScope(call)
    const all = text === undefined ? [undefined] : formerly(text, call.deps.access.issuers)
    return all.map((who) => ({ scope, ...(who === undefined ? {} : { who }), declaredOnly: false }))
  },
}

const scopeCall = ({ deps, signal }: Call, target: MCPTarget, { scope, who }: Scope) => ({
  cluster: deps.cluster,
  namespace: deps.namespace,
  target,
  scope,
  who,
  signal,
})

const viewValues = ({ scope, who }: Scope, summary: ScopeSummary | undefined): Values => ({
  scope,
  ...(who === undefined ? {} : { who: whoText(who) }),
  names: [...(summary?.names ?? [])],
  updated_time: summary?.updatedTime,
  digest: summary?.digest,
})

/**
 * Lets a changed scope take effect: drains the instances that were started with values of it; resolves with their names.
 * A remote target has none: there, gateways read the values anew.
 */
const takeEffect = async (call: Call, target: MCPTarget, { scope, who }: Scope): Promise<string[]> => {
  const [secret = ""] = scopeNames(target, [who === undefined ? { scope } : { scope, who }])
  if (isRemote(target)) {
    await announceChange(call, target, secret)
    return []
  }
  return [...(await drainInstances(call, instancesOf(secret, await listInstancesOf(call, target))))]
}

/** GET: names, time and digest of the values; an empty list of names if there are none. */
const get =
  (scopes: Scopes): Handler =>
  async (call) => {
    const target = await requireTarget(call)
    for (const scope of scopes.before(call)) {
      const summary = await readScope(scopeCall(call, target, scope))
      if (summary !== undefined) return { body: viewValues(scope, summary) }
    }
    return { body: viewValues(scopes.now(call), undefined) }
  }

/** Throws `ValidationFailed` with the given faults, if there are any. */
const refuseErrors = (errors: readonly FieldError[]): void => {
  const problems = errors.map(({ path, message }) => ({
    pointer: toPointer([path.replace(/^values\.?/, "")].filter((name) => name !== "")),
    detail: message,
  }))
  if (problems.length > 0) throw validationFailed(problems)
}

type Write<Body> = {
  readonly schema: z.ZodType<Body>
  readonly findErrors: (target: MCPTarget, body: Body, rules: NameRules) => readonly FieldError[]
  readonly store: (call: ScopeWrite & { readonly values: Body }) => Promise<ScopeSummary>
}

const write =
  <Body>({ schema, findErrors, store }: Write<Body>) =>
  (scopes: Scopes): Handler =>
  async (call) => {
    const target = await requireTarget(call)
    refuseVersions(call.headers, "Credential values")
    const scope = scopes.now(call)
    call.changes(scope)
    const values = parseBody(schema, await call.body())
    // before the names are checked: if the target does not allow the scope, every name is refused
    ensureAllowed({ target, scope: scope.scope })
    const { declaredOnly } = scope
    refuseErrors(findErrors(target, values, { declaredOnly }))
    const now = call.deps.clock.now()
    const summary = await store({ ...scopeCall(call, target, scope), values, declaredOnly, now })
    return { body: { ...viewValues(scope, summary), restarting: await takeEffect(call, target, scope) } }
  }

/** PUT: replaces all values of the scope with those of the body. */
const set = write({ schema: ValuesInput, findErrors: findValueErrors, store: setScope })

/** PATCH: changes single values. Rules about all values together are checked by `store`, which reads the others. */
const change = write<Readonly<Record<string, string | null>>>({
  schema: ValuesPatch,
  findErrors: (target, values, rules) => {
    const entries = Object.entries(values)
    const given = entries.filter((entry): entry is [string, string] => entry[1] !== null)
    // a value may be removed although the target no longer declares its name or its name is reserved now
    const removed = entries.filter(([, value]) => value === null).flatMap(([name]) => findNameErrors(name))
    return [...removed, ...findValueErrors(target, Object.fromEntries(given), rules)]
  },
  store: (call) =>
    mergeScope(call).catch((error: unknown) => {
      if (hasCode(error, "ValidationFailed")) refuseErrors(error.data?.errors as readonly FieldError[])
      throw error
    }),
})

/** DELETE: succeeds if there are no values, too. */
const remove =
  (scopes: Scopes): Handler =>
  async (call) => {
    const target = await requireTarget(call)
    refuseVersions(call.headers, "Credential values")
    for (const scope of scopes.before(call)) {
      call.changes(scope)
      const isAbsent = (await deleteScope(scopeCall(call, target, scope))) === "absent"
      // a remote target's call may be the repetition of one that deleted the values, and failed to tell it
      if (isAbsent && !isRemote(target)) continue
      const restarting = await takeEffect(call, target, scope)
      if (!isAbsent) return { body: { ...viewValues(scope, undefined), restarting } }
    }
    const scope = scopes.now(call)
    call.changes(scope)
    return { body: { ...viewValues(scope, undefined), restarting: [] } }
  }

/** Handlers of /api/targets/{id}/env/{scope}[/{who}] */
export const namedValues = { get: get(named), set: set(named), change: change(named), remove: remove(named) }
/** Handlers of /api/targets/{id}/env/me */
export const ownValues = { get: get(own), set: set(own), change: change(own), remove: remove(own) }
