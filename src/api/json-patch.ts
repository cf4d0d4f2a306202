import { type Fields, isFields } from "./merge-patch.ts"

/** One operation of a JSON patch (RFC 6902), as far as they are needed. */
export type JsonPatchOperation =
  | { readonly op: "test" | "add"; readonly path: string; readonly value: unknown }
  | { readonly op: "remove"; readonly path: string }

/** The JSON Pointer (RFC 6901) of a field below `above`. */
const pointerTo = (above: string, name: string): string =>
  `${above}/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`

/** The value that a merge patch gives to a field that is not there: nulls in it remove nothing. */
const withoutNulls = (value: unknown): unknown =>
  isFields(value)
    ? Object.fromEntries(
        Object.entries(value)
          .filter(([, each]) => each !== null)
          .map(([name, each]) => [name, withoutNulls(each)]),
      )
    : value

/**
 * The operations that do to `before` what a merge patch (RFC 7396) would do. Fields that the patch does not name are not
 * touched. They fit `before` alone: whoever sends them tests that it is still so.
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
