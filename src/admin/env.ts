import type { MCPTarget } from "../api/mcp-target.ts"
import { type CredentialScope, credentialScopes } from "../api/names.ts"
import { findValueErrors } from "../credentials/names.ts"
import { instancesOf, scopeNames } from "../credentials/scopes.ts"
import { deleteScope, ensureAllowed, readScope, type ScopeSummary, setScope } from "../credentials/store.ts"
import { AppError } from "../errors.ts"
import { type Call, type Handler, listInstancesOf, requireTarget } from "./call.ts"
import { refuseVersions } from "./if-match.ts"
import { type Values, ValuesInput } from "./resources.ts"
import { drainInstances } from "./restart.ts"
import { parseBody, toPointer, validationFailed } from "./validation.ts"
import { parseWho, type Who, whoText } from "./who.ts"

/** The scope that a call names. */
type Scope = {
  readonly scope: CredentialScope
  readonly who?: Who
  /** True: only names that the target declares may be set. */
  readonly declaredOnly: boolean
}

const isScope = (text: string): text is CredentialScope => (credentialScopes as readonly string[]).includes(text)

const noSuchScope = (detail: string): AppError => new AppError("RouteNotFound", { detail })

const ownScope = ({ identity }: Call): Scope => ({
  scope: "user",
  who: { issuer: identity.issuer, name: identity.subject },
  declaredOnly: true,
})

const namedScope = ({ params, deps }: Call): Scope => {
  const { scope = "", who } = params
  if (!isScope(scope)) throw noSuchScope("The scopes of credentials are default, role, group, user and me.")
  if (scope === "default") {
    if (who !== undefined) throw noSuchScope("The scope default belongs to nobody: end the path after it.")
    return { scope, declaredOnly: false }
  }
  if (who === undefined) throw noSuchScope(`Say whose values: end the path with ${scope}/ISSUER/NAME.`)
  return { scope, who: parseWho(who, deps.access.issuers), declaredOnly: false }
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

/** Drains the instances that were composed with this scope. */
const restartRecorded = async (call: Call, target: MCPTarget, { scope, who }: Scope): Promise<string[]> => {
  const [secret = ""] = scopeNames(target, [who === undefined ? { scope } : { scope, who }])
  return [...(await drainInstances(call, instancesOf(secret, await listInstancesOf(call, target))))]
}

/** GET: names, time and digest; no names if nothing is set. */
const get =
  (scopeOf: (call: Call) => Scope): Handler =>
  async (call) => {
    const target = await requireTarget(call)
    const scope = scopeOf(call)
    return { body: viewValues(scope, await readScope(scopeCall(call, target, scope))) }
  }

/** PUT: makes the body's values the scope's, and no others. */
const set =
  (scopeOf: (call: Call) => Scope): Handler =>
  async (call) => {
    const target = await requireTarget(call)
    const scope = scopeOf(call)
    refuseVersions(call.headers, "Credential values")
    const values = parseBody(ValuesInput, await call.body())
    // before the names are looked at: no name would help
    ensureAllowed({ target, scope: scope.scope })
    const { declaredOnly } = scope
    const problems = findValueErrors(target, values, { declaredOnly }).map(({ path, message }) => ({
      pointer: toPointer([path.replace(/^values\.?/, "")].filter((name) => name !== "")),
      detail: message,
    }))
    if (problems.length > 0) throw validationFailed(problems)
    const now = call.deps.clock.now()
    const summary = await setScope({ ...scopeCall(call, target, scope), values, declaredOnly, now })
    return { body: { ...viewValues(scope, summary), restarting: await restartRecorded(call, target, scope) } }
  }

/** DELETE: harmless if nothing is set. */
const remove =
  (scopeOf: (call: Call) => Scope): Handler =>
  async (call) => {
    const target = await requireTarget(call)
    const scope = scopeOf(call)
    refuseVersions(call.headers, "Credential values")
    const done = await deleteScope(scopeCall(call, target, scope))
    const restarting = done === "absent" ? [] : await restartRecorded(call, target, scope)
    return { body: { ...viewValues(scope, undefined), restarting } }
  }

/** …/env/{scope}[/{who}] */
export const namedValues = { get: get(namedScope), set: set(namedScope), remove: remove(namedScope) }
/** …/env/me */
export const ownValues = { get: get(ownScope), set: set(ownScope), remove: remove(ownScope) }
