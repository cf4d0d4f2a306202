import { z } from "zod"
import { configSchema } from "./schema.ts"

/** Keys and list positions from the root, e.g. `["auth", "tokens", 0, "name"]`. */
export type Path = readonly (string | number)[]

/** `auth.tokens[0].name`. */
export const pathText = (path: Path): string =>
  path.reduce<string>((text, part) => {
    if (typeof part === "number") return `${text}[${part}]`
    return text === "" ? part : `${text}.${part}`
  }, "")

/** One key of the configuration, as the schema describes it. */
export type KeyNode = {
  /** `section`: has keys of its own. `list`: has items. `open`: any keys (a plugin's configuration). `value`: the rest. */
  readonly shape: "section" | "list" | "open" | "value"
  /** True if the value is text in the file: environment and flags then need no quoting. */
  readonly isText: boolean
  /** Completes «must be …». */
  readonly allowed: string
  /** All values that the key can have, if it is an enumeration or a boolean; else empty. */
  readonly choices: readonly string[]
  /** True: values never appear in errors, logs or reports. */
  readonly secret: boolean
  readonly description: string
  /** The default as it would stand in the file; undefined if the schema has none for this key. */
  readonly fallback: unknown
  readonly children: ReadonlyMap<string, KeyNode>
  readonly item: KeyNode | undefined
}

type Schema = z.core.JSONSchema.JSONSchema

/** The JSON Schema of the configuration file, for editors. */
export const configJsonSchema = (): Schema => z.toJSONSchema(configSchema, { io: "input" })

const asSchema = (value: Schema | boolean | undefined): Schema => (typeof value === "object" ? value : {})

const shapeOf = (schema: Schema): KeyNode["shape"] => {
  if (schema.type === "array") return "list"
  if (schema.type !== "object") return "value"
  return schema.properties === undefined ? "open" : "section"
}

const isTextSchema = (schema: Schema): boolean =>
  schema.anyOf === undefined ? schema.type === "string" : schema.anyOf.every((each) => isTextSchema(asSchema(each)))

const allowedBy = (schema: Schema): string => {
  if (typeof schema.allowed === "string") return schema.allowed
  if (schema.enum !== undefined) return `one of ${schema.enum.join(", ")}`
  if (schema.type === "boolean") return "true or false"
  if (schema.type === "integer") return `a whole number from ${schema.minimum} to ${schema.maximum}`
  if (schema.type === "array") return "a list"
  if (schema.type === "object") return "a map of keys"
  return schema.minLength === undefined ? "text" : "text that is not empty"
}

const choicesBy = (schema: Schema): readonly string[] => {
  if (schema.type === "boolean") return ["true", "false"]
  return (schema.enum ?? []).filter((each) => typeof each === "string")
}

const toNode = (schema: Schema, secretAbove: boolean): KeyNode => {
  const secret = secretAbove || schema.secret === true
  const children = Object.entries(schema.properties ?? {}).map(
    ([name, child]) => [name, toNode(asSchema(child), secret)] as const,
  )
  const item = Array.isArray(schema.items) ? undefined : schema.items
  return {
    shape: shapeOf(schema),
    isText: isTextSchema(schema),
    allowed: allowedBy(schema),
    choices: choicesBy(schema),
    secret,
    description: schema.description ?? "",
    fallback: schema.default,
    children: new Map(children),
    item: item === undefined ? undefined : toNode(asSchema(item), secret),
  }
}

/** The whole configuration as one section. */
export const rootKey: KeyNode = toNode(configJsonSchema(), false)

/** The key at a path; undefined if there is none, or if the path leads into a plugin's own configuration. */
export const keyAt = (path: Path): KeyNode | undefined => {
  let node: KeyNode | undefined = rootKey
  for (const part of path) node = typeof part === "number" ? node?.item : node?.children.get(part)
  return node
}

/** All keys that hold a value or a list, by dotted path, in the order of the schema. */
export const leafKeys: ReadonlyMap<string, KeyNode> = (() => {
  const found = new Map<string, KeyNode>()
  const collect = (node: KeyNode, path: Path): void => {
    if (node.shape !== "section") found.set(pathText(path), node)
    else for (const [name, child] of node.children) collect(child, [...path, name])
  }
  collect(rootKey, [])
  return found
})()
