import type { z } from "zod"

/** Any definition that zod knows, told apart by `type`. */
type Definition = z.core.$ZodTypes["_zod"]["def"]

/** zod's checks that become a keyword of JSON Schema. The others (refine, overwrite, property …) vanish without a word. */
const kept: readonly string[] = [
  "min_length",
  "max_length",
  "length_equals",
  "greater_than",
  "less_than",
  "multiple_of",
  "number_format",
  "string_format",
]

const refuse = (path: string, why: string): never => {
  throw new TypeError(`${path}: ${why}; write it as optional fields and a rule`)
}

/** True for a number or text that the API server takes as it comes (Kubernetes' int-or-string). */
const isIntOrString = (schema: z.core.$ZodType): boolean =>
  (schema as z.ZodType).meta()?.["x-kubernetes-int-or-string"] === true

const checkCheck = (path: string, check: z.core.$ZodCheck): void => {
  const def = check._zod.def as { check: string; format?: string; pattern?: RegExp }
  if (!kept.includes(def.check)) refuse(path, `zod's check '${def.check}' vanishes from the schema`)
  if (def.check !== "string_format") return
  if (def.format !== "regex") refuse(path, `the API server judges the format '${def.format}' otherwise, or not at all`)
  if (def.pattern?.flags) refuse(path, `the flags of ${def.pattern} vanish from the schema`)
}

/** What stands inside a definition, with what it adds to the path. */
const inside = (path: string, schema: z.core.$ZodType): readonly (readonly [string, z.core.$ZodType])[] => {
  const def = schema._zod.def as Definition
  switch (def.type) {
    case "object":
      return Object.entries(def.shape).map(([name, field]) => [`${path}.${name}`, field])
    case "array":
      return [[`${path}[]`, def.element]]
    case "record":
      if ((def.keyType._zod.def.checks ?? []).length > 0 || def.keyType._zod.def.type !== "string")
        refuse(path, "the API server cannot check the keys of a map")
      return [[`${path}.*`, def.valueType]]
    case "optional":
    case "default":
      return [[path, def.innerType]]
    case "pipe":
      // zod reads a number as text here; the API server takes both
      return isIntOrString(schema) ? [[path, def.out]] : refuse(path, "the API server transforms nothing")
    case "string":
    case "number":
      return def.coerce === true ? refuse(path, "the API server coerces nothing") : []
    case "boolean":
    case "enum":
      return []
    default:
      return refuse(path, `zod's '${def.type}' has no structural form`)
  }
}

/**
 * Refuses what `z.toJSONSchema` drops or rewrites so that the API server would accept something else than we do. Only
 * what is known to survive passes. Throws a TypeError that names the field.
 */
export const checkRepresentable = (path: string, schema: z.core.$ZodType): void => {
  const { checks = [], format } = schema._zod.def as { checks?: readonly z.core.$ZodCheck[]; format?: string }
  if (format !== undefined && schema._zod.def.type === "string")
    refuse(path, `the API server judges the format '${format}' otherwise, or not at all`)
  for (const check of checks) checkCheck(path, check)
  for (const [name, inner] of inside(path, schema)) checkRepresentable(name, inner)
}
