import { isDeepStrictEqual } from "node:util"

/** A JSON object whose fields are not known. */
export type Fields = Readonly<Record<string, unknown>>

/** True for JSON objects: no arrays, no null. */
export const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Sets an own property, also for a name such as `__proto__`. */
const put = (fields: Record<string, unknown>, name: string, value: unknown): void => {
  Object.defineProperty(fields, name, { value, enumerable: true, configurable: true, writable: true })
}

/** An own property; undefined for an inherited one such as `constructor`. */
const ownValue = (fields: Fields, name: string): unknown => (Object.hasOwn(fields, name) ? fields[name] : undefined)

/** Applies a merge patch (RFC 7396): null removes, objects merge, everything else replaces. */
export const applyMergePatch = (target: unknown, patch: unknown): unknown => {
  if (!isFields(patch)) return patch
  const next: Record<string, unknown> = isFields(target) ? { ...target } : {}
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete next[name]
    else put(next, name, applyMergePatch(ownValue(next, name), value))
  }
  return next
}

/**
 * The smallest merge patch (RFC 7396) that turns `before` into `after`; undefined if they are equal. A field that is
 * absent or undefined in `after` is removed; arrays are replaced whole.
 */
export const mergePatchBetween = (before: Fields, after: Fields): Fields | undefined => {
  const patch: Record<string, unknown> = {}
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const [old, next] = [ownValue(before, key), ownValue(after, key)]
    if (next === undefined) {
      if (old !== undefined) put(patch, key, null)
    } else if (isFields(old) && isFields(next)) {
      const inner = mergePatchBetween(old, next)
      if (inner !== undefined) put(patch, key, inner)
    } else if (!isDeepStrictEqual(old, next)) put(patch, key, next)
  }
  return Object.keys(patch).length === 0 ? undefined : patch
}

/** One operation of a JSON patch (RFC 6902): only the kinds that this program sends. */
export type JsonPatchOperation =
  | { readonly op: "test" | "add"; readonly path: string; readonly value: unknown }
  | { readonly op: "remove"; readonly path: string }

/** The JSON Pointer (RFC 6901) of a field below `above`. */
const pointerTo = (above: string, name: string): string =>
  `${above}/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`

/** The value that a merge patch gives to a field that is absent: without nulls, since there is nothing to remove. */
const withoutNulls = (value: unknown): unknown =>
  isFields(value)
    ? Object.fromEntries(
        Object.entries(value)
          .filter(([, each]) => each !== null)
          .map(([name, each]) => [name, withoutNulls(each)]),
      )
    : value

/**
 * The operations that change `before` as a merge patch (RFC 7396) would. Fields that the patch does not name stay. The
 * operations are valid for `before` only: the caller must add a `test` operation or precondition that it is unchanged.
 */
export const toJsonPatch = (before: unknown, patch: Fields, above = ""): JsonPatchOperation[] => {
  const old = isFields(before) ? before : {}
  return Object.entries(patch).flatMap(([name, value]): JsonPatchOperation[] => {
    const path = pointerTo(above, name)
    const known = Object.hasOwn(old, name) ? old[name] : undefined
    if (value === null) return known === undefined ? [] : [{ op: "remove", path }]
    return isFields(value) && isFields(known)
      ? toJsonPatch(known, value, path)
      : [{ op: "add", path, value: withoutNulls(value) }]
  })
}

/** Freezes a value and everything in it, and returns it. An object that is frozen already is not searched. */
export const deepFreeze = <T>(value: T): T => {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const inner of Object.values(value)) deepFreeze(inner)
  }
  return value
}
