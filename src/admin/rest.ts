import { z } from "zod"
import { isFields } from "../api/patch.ts"

/** The REST name of a kind's field: `isolationBoundary` → `isolation_boundary`, `idleTTL` → `idle_ttl`. */
export const restName = (field: string): string => field.replaceAll(/([a-z0-9])([A-Z])/g, "$1_$2").toLowerCase()

/** True for objects with declared fields; false for objects with free keys, such as a plugin's configuration. */
const isOurs = (schema: z.ZodType): schema is z.ZodObject =>
  schema instanceof z.ZodObject && schema.def.catchall === undefined

/** A copy of a schema with parts of it replaced; keeps its checks, description and metadata. */
const changed = (schema: z.ZodType, parts: object): z.ZodType =>
  z.core.clone(schema, { ...schema.def, ...parts }, { parent: true })

/**
 * The REST form of a kind's schema: the same rules under REST names, and unknown fields are errors. Field names change;
 * keys of maps (resource names, a plugin's configuration) do not.
 */
export const toRestSchema = (schema: z.ZodType): z.ZodType => {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault)
    return changed(schema, { innerType: toRestSchema(inner(schema)) })
  if (schema instanceof z.ZodArray) return changed(schema, { element: toRestSchema(element(schema)) })
  if (schema instanceof z.ZodRecord) return changed(schema, { valueType: toRestSchema(valueType(schema)) })
  return isOurs(schema) ? changed(schema, { shape: toRestShape(schema.shape), catchall: z.never() }) : schema
}

/** {@link toRestSchema} for the fields of an object. */
export const toRestShape = (shape: Readonly<Record<string, z.core.$ZodType>>): Record<string, z.ZodType> =>
  Object.fromEntries(Object.entries(shape).map(([name, field]) => [restName(name), toRestSchema(classic(field))]))

// zod types the parts of a schema as core types; all schemas here are built with zod's classic API
const classic = (schema: z.core.$ZodType): z.ZodType => schema as z.ZodType
const inner = (schema: z.ZodOptional | z.ZodDefault): z.ZodType => classic(schema.def.innerType)
const element = (schema: z.ZodArray): z.ZodType => classic(schema.def.element)
const valueType = (schema: z.ZodRecord): z.ZodType => classic(schema.def.valueType)

type Direction = "toRest" | "fromRest"

const renameFields = (schema: z.ZodObject, value: Readonly<Record<string, unknown>>, direction: Direction) => {
  const entries: [string, unknown][] = []
  for (const [field, child] of Object.entries(schema.shape)) {
    const [from, to] = direction === "toRest" ? [field, restName(field)] : [restName(field), field]
    if (Object.hasOwn(value, from) && value[from] !== undefined)
      entries.push([to, rename(classic(child), value[from], direction)])
  }
  return Object.fromEntries(entries)
}

const rename = (schema: z.ZodType, value: unknown, direction: Direction): unknown => {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault) return rename(inner(schema), value, direction)
  if (schema instanceof z.ZodArray && Array.isArray(value))
    return value.map((each) => rename(element(schema), each, direction))
  if (schema instanceof z.ZodRecord && isFields(value))
    return Object.fromEntries(
      Object.entries(value).map(([key, each]) => [key, rename(valueType(schema), each, direction)]),
    )
  return isOurs(schema) && isFields(value) ? renameFields(schema, value, direction) : value
}

/** A value of the kind's schema under REST names. Fields that the schema does not know are dropped. */
export const toRest = (schema: z.ZodObject, value: object): Record<string, unknown> =>
  renameFields(schema, { ...value }, "toRest")

/** A validated REST body under the kind's own field names. */
export const fromRest = (schema: z.ZodObject, body: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  renameFields(schema, body, "fromRest")

/** Converts a path in a value of the kind's schema to REST names; keys of maps do not change. */
export const restPath = (schema: z.ZodObject, path: readonly string[]): readonly string[] => {
  let at: z.ZodType | undefined = schema
  return path.map((name) => {
    while (at instanceof z.ZodOptional || at instanceof z.ZodDefault) at = inner(at)
    const ours: boolean = at !== undefined && isOurs(at)
    const child: z.core.$ZodType | undefined = at instanceof z.ZodObject ? at.shape[name] : undefined
    at = child === undefined ? undefined : classic(child)
    return ours ? restName(name) : name
  })
}
