import { createHash } from "node:crypto"
import { isFields } from "../patch.ts"

/** Deepest nesting of arrays and objects of a document. */
const deepest = 64

/** JSON with the keys of each object in order of their UTF-16 units, without blanks; undefined if it is too deep. */
const canonical = (value: unknown, left = deepest): string | undefined => {
  if (typeof value !== "object" || value === null) return JSON.stringify(value)
  if (left === 0) return undefined
  const members = isFields(value)
    ? Object.keys(value)
        .sort()
        .map((key) => [`${JSON.stringify(key)}:`, canonical(value[key], left - 1)])
    : (value as readonly unknown[]).map((each) => ["", canonical(each, left - 1)])
  if (members.some(([, text]) => text === undefined)) return undefined
  const joined = members.map(([key, text]) => `${key}${text}`).join(",")
  return Array.isArray(value) ? `[${joined}]` : `{${joined}}`
}

/**
 * SHA-256 (hexadecimal) of a JSON document in a form that neither blanks nor the order of keys change (as RFC 8785, for
 * documents without numbers that a double cannot carry). Undefined if it is nested deeper than 64 levels.
 */
export const documentDigest = (document: unknown): string | undefined => {
  const text = canonical(document)
  return text === undefined ? undefined : createHash("sha256").update(text).digest("hex")
}
