import { isDeepStrictEqual } from "node:util"

export type Fields = Readonly<Record<string, unknown>>

export const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Own property, also under a name such as `__proto__`. */
const put = (fields: Record<string, unknown>, name: string, value: unknown): void => {
  Object.defineProperty(fields, name, { value, enumerable: true, configurable: true, writable: true })
}

/** What an object itself has under a name: by a name such as `constructor` it would inherit something. */
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
