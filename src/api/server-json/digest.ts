import { createHash } from "node:crypto"
import { isFields } from "../patch.ts"

/** Deepest nesting of arrays and objects of a document. */
const deepest = 64

/** Adds JSON with the keys of each object in order of their UTF-16 units, without blanks; false if it is too deep. */
const write = (value: unknown, pieces: string[], left: number): boolean => {
  if (typeof value !== "object" || value === null) {
    pieces.push(JSON.stringify(value) ?? "null")
    return true
  }
  if (left === 0) return false
  const fields = isFields(value)
  const keys = fields ? Object.keys(value).sort() : Object.keys(value)
  pieces.push(fields ? "{" : "[")
  for (const [index, key] of keys.entries()) {
    if (index > 0) pieces.push(",")
    if (fields) pieces.push(JSON.stringify(key), ":")
    if (!write(Reflect.get(value, key), pieces, left - 1)) return false
  }
  pieces.push(fields ? "}" : "]")
  return true
}

/**
 * SHA-256 (hexadecimal) of a JSON document in a form that neither blanks nor the order of keys change (as RFC 8785, for
 * documents without numbers that a double cannot carry). Undefined if it is nested deeper than 64 levels.
 */
export const documentDigest = (document: unknown): string | undefined => {
  const pieces: string[] = []
  if (!write(document, pieces, deepest)) return undefined
  return createHash("sha256").update(pieces.join("")).digest("hex")
}
