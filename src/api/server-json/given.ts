import { isFields } from "../patch.ts"
import type { Fault } from "./place.ts"

/** What the caller gives for inputs of the document: one or more texts by the input's name. */
export type Given = ReadonlyMap<string, readonly string[]>

/** Most inputs that a caller gives, and most values of one. */
const mostGiven = 100
/** Longest value, in characters. */
const longestValue = 4_096

const isScalar = (value: unknown): value is string | number | boolean =>
  typeof value === "number" || typeof value === "boolean" || (typeof value === "string" && isText(value))

const isText = (text: string): boolean => text.length <= longestValue && !text.includes("\0") && text.isWellFormed()

const wrong = (name: string): Fault => ({
  path: ["arguments", name],
  detail: `must be a string of at most ${longestValue} characters, a number, true, false, or a list of these`,
})

/** Reads `arguments` of a request; its faults have paths from the request's root. */
export const readGiven = (value: unknown): { readonly given: Given; readonly faults: readonly Fault[] } => {
  if (value === undefined) return { given: new Map(), faults: [] }
  if (!isFields(value) || Object.keys(value).length > mostGiven)
    return {
      given: new Map(),
      faults: [{ path: ["arguments"], detail: `must be an object of at most ${mostGiven} members` }],
    }
  const given = new Map<string, readonly string[]>()
  const faults: Fault[] = []
  for (const [name, each] of Object.entries(value)) {
    const list: readonly unknown[] = Array.isArray(each) ? each : [each]
    if (list.length > mostGiven || !list.every(isScalar)) faults.push(wrong(name))
    else given.set(name, list.map(String))
  }
  return { given, faults }
}
