import { type Fields, isFields } from "../patch.ts"

/** A place in a document, from its root, in the camelCase spelling. */
export type Path = readonly (string | number)[]

/** What is wrong at a place of a document. */
export type Fault = { readonly path: Path; readonly detail: string }

/** Longest name that a pointer repeats, in characters. */
const longestName = 64

/** The snake_case spelling of a field, as documents before 2025-09 have it: `registryType` → `registry_type`. */
const olderName = (field: string): string => field.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

/** The name under which an object has a field, in either spelling; undefined if it has none. */
export const spelledIn = (object: Fields, field: string): string | undefined =>
  [field, olderName(field)].find((name) => Object.hasOwn(object, name))

/** A JSON Pointer (RFC 6901) of names; each is cut at 64 characters. */
export const pointerOf = (path: Path): string =>
  path
    .map((part) => `/${String(part).slice(0, longestName).toWellFormed().replaceAll("~", "~0").replaceAll("/", "~1")}`)
    .join("")

/** The JSON Pointer of a place, in the spelling that the document has there. */
export const pointerIn = (document: unknown, path: Path): string => {
  let at = document
  const spelled = path.map((part) => {
    const name = typeof part === "string" && isFields(at) ? (spelledIn(at, part) ?? part) : part
    at = typeof at === "object" && at !== null && Object.hasOwn(at, name) ? Reflect.get(at, name) : undefined
    return name
  })
  return pointerOf(spelled)
}
