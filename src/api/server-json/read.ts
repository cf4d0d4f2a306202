/** Strict and bounded reading of the members of a foreign object. Unknown members are ignored, null counts as absent. */
import { type Fields, isFields } from "../patch.ts"
import { type Fault, type Path, spelledIn } from "./place.ts"

/** An object of the document, its place, and the list that gets what is wrong with it. */
export type Source = { readonly fields: Fields; readonly path: Path; readonly faults: Fault[] }

/** Longest text, unless a field says otherwise, in characters. */
const longestText = 4_096
/** Most entries of a list or a map. */
export const mostEntries = 100

const memberOf = ({ fields }: Source, name: string): unknown => {
  const spelled = spelledIn(fields, name)
  const value = spelled === undefined ? undefined : fields[spelled]
  return value === null ? undefined : value
}

const note = ({ path, faults }: Source, name: string, detail: string): undefined =>
  void faults.push({ path: [...path, name], detail })

/** A text; numbers and booleans count as their text, since many documents write defaults so. */
export const textOf = (source: Source, name: string, most = longestText): string | undefined => {
  const value = memberOf(source, name)
  if (value === undefined) return undefined
  const text = typeof value === "number" || typeof value === "boolean" ? String(value) : value
  if (typeof text !== "string") return note(source, name, "must be a string")
  if (text.length > most) return note(source, name, `must be at most ${most} characters`)
  if (text.includes("\0") || !text.isWellFormed()) return note(source, name, "must be valid Unicode without NUL")
  return text
}

/** A truth value; false if it is absent. */
export const flagOf = (source: Source, name: string): boolean => {
  const value = memberOf(source, name)
  if (value === undefined || typeof value === "boolean") return value === true
  note(source, name, "must be true or false")
  return false
}

/** An object in the document as a source of its own; undefined if it is absent or no object. */
export const objectOf = (source: Source, name: string): Source | undefined => {
  const value = memberOf(source, name)
  if (value === undefined) return undefined
  if (!isFields(value)) return note(source, name, "must be an object")
  return { fields: value, path: [...source.path, name], faults: source.faults }
}

const listOf = (source: Source, name: string, most: number): readonly unknown[] => {
  const value = memberOf(source, name)
  if (value === undefined) return []
  if (!Array.isArray(value)) return note(source, name, "must be a list") ?? []
  return value.length > most ? (note(source, name, `must have at most ${most} entries`) ?? []) : value
}

/** The objects of a list; `own` gives each a list of faults of its own. */
export const objectsOf = (source: Source, name: string, most = mostEntries, own = false): readonly Source[] =>
  listOf(source, name, most).flatMap((fields, index) => {
    const path = [...source.path, name, index]
    if (isFields(fields)) return [{ fields, path, faults: own ? [] : source.faults }]
    source.faults.push({ path, detail: "must be an object" })
    return []
  })

/** The texts of a list; undefined if it is absent or empty. */
export const textsOf = (source: Source, name: string): readonly string[] | undefined => {
  const texts = listOf(source, name, mostEntries)
  if (!texts.every((text) => typeof text === "string" && text.length <= longestText))
    return note(source, name, "must be a list of strings")
  return texts.length === 0 ? undefined : (texts as readonly string[])
}

/** The objects of a map, by their names. */
export const mapOf = (source: Source, name: string): ReadonlyMap<string, Source> => {
  const map = objectOf(source, name)
  if (map === undefined) return new Map()
  const entries = Object.entries(map.fields)
  if (entries.length > mostEntries) {
    note(source, name, `must have at most ${mostEntries} entries`)
    return new Map()
  }
  return new Map(
    entries.flatMap(([key, fields]): [string, Source][] => {
      const path = [...map.path, key]
      if (isFields(fields)) return [[key, { fields, path, faults: source.faults }]]
      source.faults.push({ path, detail: "must be an object" })
      return []
    }),
  )
}
