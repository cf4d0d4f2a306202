import { type Fields, isFields } from "./raw.ts"

/** Applies a merge patch (RFC 7396): null removes, objects merge, everything else replaces. */
export const applyMergePatch = (target: unknown, patch: unknown): unknown => {
  if (!isFields(patch)) return patch
  const next: Record<string, unknown> = isFields(target) ? { ...target } : {}
  for (const [name, value] of Object.entries(patch as Fields)) {
    if (value === null) delete next[name]
    else next[name] = applyMergePatch(next[name], value)
  }
  return next
}
