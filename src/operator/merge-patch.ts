import { isDeepStrictEqual } from "node:util"
import type { MergePatch } from "../ports/cluster.ts"

type Fields = Readonly<Record<string, unknown>>

const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/**
 * The smallest merge patch (RFC 7396) that turns `before` into `after`; undefined if they are equal. A field that is
 * absent or undefined in `after` is removed; arrays are replaced whole.
 */
export const mergePatchBetween = (before: Fields, after: Fields): MergePatch | undefined => {
  const patch: Record<string, unknown> = {}
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const [old, next] = [before[key], after[key]]
    if (next === undefined) {
      if (old !== undefined) patch[key] = null
    } else if (isFields(old) && isFields(next)) {
      const inner = mergePatchBetween(old, next)
      if (inner !== undefined) patch[key] = inner
    } else if (!isDeepStrictEqual(old, next)) patch[key] = next
  }
  return Object.keys(patch).length === 0 ? undefined : patch
}
