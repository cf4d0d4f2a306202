import { z } from "zod"

/** An expression of the Common Expression Language that holds for texts of a pattern. */
export const matchesCEL = (self: string, pattern: RegExp): string =>
  `${self}.matches(${JSON.stringify(pattern.source)})`

/**
 * A text of a form. `message` says what it must be, for people: the API server says only the pattern, so the CRD says
 * the same once more as a rule.
 */
export const form = (pattern: RegExp, maxLength: number, message: string) =>
  z
    .string()
    .max(maxLength)
    .regex(pattern, message)
    .meta({ "x-kubernetes-validations": [{ rule: matchesCEL("self", pattern), message }] })
