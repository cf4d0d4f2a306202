import { AppError } from "../errors.ts"
import type { FieldManager, FieldSet } from "../ports/cluster.ts"
import { toPointer } from "./validation.ts"

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
export type TakenField = { readonly path: readonly string[]; readonly manager: string }

/** What a merge patch of an object would take from others, once per field. Pure. */
export const takenFields = (patch: Fields, others: readonly FieldManager[]): TakenField[] =>
  pathsOf(patch).flatMap((path) => {
    const manager = others.find(({ fields }) => manages(fields, path))?.name
    return manager === undefined ? [] : [{ path, manager }]
  })

/**
 * Throws `ManagedElsewhere`, naming fields and managers, if a change would undo what another one wrote last: a file that
 * is applied again would undo it in turn. `toRestPath` gives the path of a field in the REST API.
 */
export const ensureOurs = (
  taken: readonly TakenField[],
  toRestPath: (path: readonly string[]) => readonly string[],
): void => {
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
