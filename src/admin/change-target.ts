import { type MCPTarget, MCPTargetSpec, mcpTargetKind } from "../api/kinds/mcp-target.ts"
import { applyMergePatch, mergePatchBetween } from "../api/patch.ts"
import { AppError, hasCode } from "../errors.ts"
import type { FieldManager, FieldSet, Managed } from "../ports/cluster.ts"
import { type Answer, type Call, caughtUp, type Handler, requireTarget, targetNotFound } from "./call.ts"
import { ensureNoneMatch, ensurePreconditions, requireIfMatch } from "./if-match.ts"
import { flagOf } from "./page.ts"
import { TargetInput } from "./resources.ts"
import { fromRest, restPath } from "./rest.ts"
import { etagHeader, toTarget, viewWritten, withoutReadOnly, writablePart } from "./targets.ts"
import { toPointer, unknownFields, validationFailed } from "./validation.ts"

type Fields = Readonly<Record<string, unknown>>

const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value)

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
    // the whole value is theirs, whatever is in it
    if (Object.keys(next).length === 0) return true
    at = next
  }
  return true
}

/** A field that a patch would take from its manager. */
type TakenField = { readonly path: readonly string[]; readonly manager: string }

/** What a merge patch of an object would take from others, once per field. Pure. */
const takenFields = (patch: Fields, others: readonly FieldManager[]): TakenField[] =>
  pathsOf(patch).flatMap((path) => {
    const manager = others.find(({ fields }) => manages(fields, path))?.name
    return manager === undefined ? [] : [{ path, manager }]
  })

/**
 * Throws `ManagedElsewhere`, naming fields and managers, if a change would undo what another one wrote last: a file that
 * is applied again would undo it in turn. `toRestPath` gives the path of a field in the REST API.
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

/** Changes of others that a change may meet before it gives up: each of them was somebody's success. */
const maxConflicts = 100

const knownSpec = (target: MCPTarget) => fromRest(MCPTargetSpec, writablePart(target))

/** One try against the generation that was read; undefined if it is another one by now. */
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
    // the API server's own words quote the object's values
    if (hasCode(error, "ApiInvalid"))
      throw new AppError("ValidationFailed", { detail: "The cluster refused the target as invalid.", cause: error })
    throw error
  }
}

/**
 * Reads, decides and writes the very generation that was read, which is what the ETag names; once more if somebody changed the
 * spec meanwhile. So a write of the status in between is no conflict, however often it is written, and one of the spec is one
 * only for who named a version.
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

/** PUT /api/targets/{id}: the body is all that the target is from now on. */
export const replaceTarget: Handler = async (call) => {
  const target = await requireTarget(call)
  const { name } = target.metadata
  // before anything is asked for that could not help
  ensureNoneMatch(call.headers, target)
  requireIfMatch(call.headers)
  const body = named(await call.body(), name)
  const written = await change(call, (old) => toTarget(body, call.deps.namespace, old))
  return await answer(call, written)
}

/** PATCH /api/targets/{id}: an RFC 7396 merge patch of what a GET shows. */
export const patchTarget: Handler = async (call) => {
  await requireTarget(call)
  const patch = withoutReadOnly(await call.body())
  // null takes an unknown field away before anybody could call it unknown
  const unknown = unknownFields(TargetInput, patch)
  if (unknown.length > 0) throw validationFailed(unknown)
  const written = await change(call, (old) =>
    toTarget(applyMergePatch(writablePart(old), patch), call.deps.namespace, old),
  )
  return await answer(call, written)
}
