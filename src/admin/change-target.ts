import { type MCPTarget, MCPTargetSpec, mcpTargetKind } from "../api/kinds/mcp-target.ts"
import { applyMergePatch, type Fields, isFields, mergePatchBetween } from "../api/patch.ts"
import { AppError, hasCode } from "../errors.ts"
import type { FieldManager, FieldSet, Managed } from "../ports/cluster.ts"
import { type Answer, type Call, caughtUp, type Handler, requireTarget, targetNotFound } from "./call.ts"
import { ensureNoneMatch, ensurePreconditions, requireIfMatch } from "./if-match.ts"
import { flagOf } from "./page.ts"
import { TargetInput } from "./resources.ts"
import { fromRest, restPath } from "./rest.ts"
import { etagHeader, toTarget, viewWritten, withoutReadOnly, writablePart } from "./targets.ts"
import { toPointer, unknownFields, validationFailed } from "./validation.ts"

/** The paths that a merge patch writes or removes. */
const pathsOf = (patch: Fields, above: readonly string[] = []): (readonly string[])[] =>
  Object.entries(patch).flatMap(([name, value]) => {
    const path = [...above, name]
    return isFields(value) && Object.keys(value).length > 0 ? pathsOf(value, path) : [path]
  })

const manages = (fields: FieldSet, path: readonly string[]): boolean => {
  let at = fields
  for (const name of path) {
    const next = at[`f:${name}`]
    if (next === undefined) return false
    // an empty set: the manager owns the whole value below this field
    if (Object.keys(next).length === 0) return true
    at = next
  }
  return true
}

/** A field that a patch would change although another field manager owns it. */
type TakenField = { readonly path: readonly string[]; readonly manager: string }

/** The fields of a merge patch that other field managers own, each once. Pure. */
const takenFields = (patch: Fields, others: readonly FieldManager[]): TakenField[] =>
  pathsOf(patch).flatMap((path) => {
    const manager = others.find(({ fields }) => manages(fields, path))?.name
    return manager === undefined ? [] : [{ path, manager }]
  })

/**
 * Throws `ManagedElsewhere`, with fields and managers, if there are fields that another field manager wrote last
 * (kubectl apply, Helm): the next apply would undo the change. `toRestPath` converts a field's path to REST names.
 */
const ensureOurs = (taken: readonly TakenField[], toRestPath: (path: readonly string[]) => readonly string[]): void => {
  if (taken.length === 0) return
  const managers = [...new Set(taken.map(({ manager }) => manager))]
  throw new AppError("ManagedElsewhere", {
    detail: `${taken.length === 1 ? "One field was" : `${taken.length} fields were`} last set by ${managers.join(", ")}.`,
    data: {
      errors: taken.map(({ path, manager }) => ({
        pointer: toPointer(toRestPath(path)),
        detail: `is managed by ${manager}`,
        manager,
      })),
    },
  })
}

/** Maximum number of conflicts with other writers before a change fails with `Conflict`. */
const maxConflicts = 100

const knownSpec = (target: MCPTarget) => fromRest(MCPTargetSpec, writablePart(target))

/** One attempt to write, for the generation that was read only; undefined if the generation has changed since. */
const writeOnce = async (
  { deps, signal }: Call,
  { object: old, others }: Managed<MCPTarget>,
  { next, force }: { readonly next: MCPTarget; readonly force: boolean },
): Promise<MCPTarget | undefined> => {
  const spec = mergePatchBetween(knownSpec(old), next.spec)
  if (spec === undefined) return old
  if (!force) ensureOurs(takenFields({ spec }, others), ([, ...path]) => restPath(MCPTargetSpec, path))
  const { name } = old.metadata
  try {
    return await deps.cluster.mergePatchSpec(mcpTargetKind, old, spec, { signal })
  } catch (error) {
    if (hasCode(error, "ApiConflict")) return undefined
    if (hasCode(error, "ApiNotFound")) throw targetNotFound(name)
    // the API server's message quotes values of the object, so it is only the cause, for the log
    if (hasCode(error, "ApiInvalid"))
      throw new AppError("ValidationFailed", { detail: "The cluster refused the target as invalid.", cause: error })
    throw error
  }
}

/**
 * Reads the target, calls `decide` and writes the result for the generation that was read (the ETag). If the spec has
 * changed meanwhile, it repeats all of this. Writes of the status are therefore no conflict, and a write of the spec
 * fails the call only if the caller named a version.
 */
const change = async (call: Call, decide: (old: MCPTarget) => MCPTarget): Promise<MCPTarget> => {
  const { deps, headers, signal } = call
  const force = flagOf(call.query, "force")
  const { name } = (await requireTarget(call)).metadata
  for (let conflicts = 0; conflicts < maxConflicts; conflicts++) {
    const found = await deps.cluster.getManaged(mcpTargetKind, { namespace: deps.namespace, name }, { signal })
    if (found === undefined) throw targetNotFound(name)
    ensurePreconditions(headers, found.object)
    const written = await writeOnce(call, found, { next: decide(found.object), force })
    if (written !== undefined) return written
  }
  throw new AppError("Conflict", { detail: "The target is being changed by many others.", retryAfterSeconds: 1 })
}

const answer = async (call: Call, written: MCPTarget): Promise<Answer> => {
  const { targets, clock } = call.deps
  const { name, uid, generation = 0 } = written.metadata
  await caughtUp(targets, clock, () => {
    const seen = targets.get(name)?.metadata
    return seen === undefined || seen.uid !== uid || (seen.generation ?? 0) >= generation
  })
  return { headers: etagHeader(written), body: viewWritten(call, written) }
}

const named = (body: unknown, name: string): unknown =>
  typeof body === "object" && body !== null && !Array.isArray(body) ? { name, ...body } : body

/** PUT /api/targets/{id}: replaces all writable fields of the target with the body. */
export const replaceTarget: Handler = async (call) => {
  const target = await requireTarget(call)
  const { name } = target.metadata
  // If-None-Match first: a missing If-Match must not be demanded from a call that fails anyway
  ensureNoneMatch(call.headers, target)
  requireIfMatch(call.headers)
  const body = named(await call.body(), name)
  const written = await change(call, (old) => toTarget(body, call.deps.namespace, old))
  return await answer(call, written)
}

/** PATCH /api/targets/{id}: an RFC 7396 merge patch of the target as a GET returns it. */
export const patchTarget: Handler = async (call) => {
  await requireTarget(call)
  const patch = withoutReadOnly(await call.body())
  // checked before merging: null would remove an unknown field, so that it would not be refused later
  const unknown = unknownFields(TargetInput, patch)
  if (unknown.length > 0) throw validationFailed(unknown)
  const written = await change(call, (old) =>
    toTarget(applyMergePatch(writablePart(old), patch), call.deps.namespace, old),
  )
  return await answer(call, written)
}
