import { z } from "zod"
import type { Kind, KubeObject, Rule } from "../kinds/kind.ts"

/** Any zod definition, discriminated by `type`. */
type Definition = z.core.$ZodTypes["_zod"]["def"]

/** zod's checks that become a keyword of JSON Schema. toJSONSchema drops the others (refine, overwrite …) silently. */
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

const refuseSchema = (path: string, why: string): never => {
  throw new TypeError(`${path}: ${why}; write it as optional fields and a rule`)
}

/** True for a field that may be a number or a text (Kubernetes' int-or-string). */
const isIntOrString = (schema: z.core.$ZodType): boolean =>
  (schema as z.ZodType).meta()?.["x-kubernetes-int-or-string"] === true

const checkCheck = (path: string, check: z.core.$ZodCheck): void => {
  const def = check._zod.def as { check: string; format?: string; pattern?: RegExp }
  if (!kept.includes(def.check)) refuseSchema(path, `zod's check '${def.check}' vanishes from the schema`)
  if (def.check !== "string_format") return
  if (def.format !== "regex")
    refuseSchema(path, `the API server judges the format '${def.format}' otherwise, or not at all`)
  if (def.pattern?.flags) refuseSchema(path, `the flags of ${def.pattern} vanish from the schema`)
}

/**
 * The schemas directly inside a definition, each with its path. Throws a TypeError for a type without a structural
 * form.
 */
const inside = (path: string, schema: z.core.$ZodType): readonly (readonly [string, z.core.$ZodType])[] => {
  const def = schema._zod.def as Definition
  switch (def.type) {
    case "object":
      return Object.entries(def.shape).map(([name, field]) => [`${path}.${name}`, field])
    case "array":
      return [[`${path}[]`, def.element]]
    case "record":
      if ((def.keyType._zod.def.checks ?? []).length > 0 || def.keyType._zod.def.type !== "string")
        refuseSchema(path, "the API server cannot check the keys of a map")
      return [[`${path}.*`, def.valueType]]
    case "optional":
    case "default":
      return [[path, def.innerType]]
    case "pipe":
      // zod reads a number as text here; the API server takes both
      return isIntOrString(schema) ? [[path, def.out]] : refuseSchema(path, "the API server transforms nothing")
    case "string":
    case "number":
      return def.coerce === true ? refuseSchema(path, "the API server coerces nothing") : []
    case "boolean":
    case "enum":
      return []
    default:
      return refuseSchema(path, `zod's '${def.type}' has no structural form`)
  }
}

/**
 * Throws a TypeError that names the field if `z.toJSONSchema` would drop or rewrite a part of the schema: the API
 * server would then accept other values than this program. Only checks and types that are known to be kept pass.
 */
const checkRepresentable = (path: string, schema: z.core.$ZodType): void => {
  const { checks = [], format } = schema._zod.def as { checks?: readonly z.core.$ZodCheck[]; format?: string }
  if (format !== undefined && schema._zod.def.type === "string")
    refuseSchema(path, `the API server judges the format '${format}' otherwise, or not at all`)
  for (const check of checks) checkCheck(path, check)
  for (const [name, inner] of inside(path, schema)) checkRepresentable(name, inner)
}

/** A node of a CRD's OpenAPI v3 schema. */
export type StructuralSchema = { [key: string]: unknown }

/** True for a schema: where a schema may stand, JSON Schema also has booleans and lists. */
export const isNode = (value: unknown): value is StructuralSchema =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const refuse = (path: string, why: string): never => {
  throw new TypeError(`${path || "the root"}: ${why}; write it as optional fields and a rule`)
}

/**
 * Throws a TypeError for constructs that a structural schema forbids or the API server refuses or handles differently.
 */
const check = (node: StructuralSchema, path: string): void => {
  for (const key of ["oneOf", "anyOf", "allOf", "not", "$ref"])
    if (key in node) refuse(path, `'${key}' is not structural`)
  const pattern = node.pattern
  if (typeof pattern === "string" && /\(\?[=!<]|\\[1-9k]/.test(pattern))
    refuse(path, "RE2 knows no lookaround and no backreference in a pattern")
  if (node.contentEncoding !== undefined) refuse(path, "contentEncoding is refused by the API server")
  if (node.format === "date-time") refuse(path, "format date-time changes values on server-side apply")
  if (node.readOnly !== undefined) refuse(path, "readOnly is refused by the API server")
  const open = node["x-kubernetes-preserve-unknown-fields"] === true || node["x-kubernetes-int-or-string"] === true
  if (node.type === undefined && !open) refuse(path, "a bare any has no type")
  if (node.properties !== undefined && node.additionalProperties !== undefined)
    refuse(path, "fields and a map exclude each other")
}

const isEmpty = (value: unknown): boolean => value === true || (isNode(value) && Object.keys(value).length === 0)

const integer = (node: StructuralSchema): void => {
  if (node.maximum === Number.MAX_SAFE_INTEGER) delete node.maximum
  if (node.minimum === Number.MIN_SAFE_INTEGER) delete node.minimum
  const max = typeof node.maximum === "number" ? node.maximum : Number.POSITIVE_INFINITY
  node.format = max <= 2 ** 31 - 1 ? "int32" : "int64"
}

/** The structural form of one node and of all nodes below it. */
const walk = (input: StructuralSchema, path: string): StructuralSchema => {
  const node: StructuralSchema = { ...input }
  if (isEmpty(node.additionalProperties)) {
    delete node.additionalProperties
    node["x-kubernetes-preserve-unknown-fields"] = true
  } else if (node.additionalProperties === false) {
    delete node.additionalProperties
  } else if (isNode(node.additionalProperties)) {
    node.additionalProperties = walk(node.additionalProperties, `${path}.*`)
  }
  delete node.propertyNames
  // the API server drops an empty map: if it were here, each `kubectl apply` would show a difference
  if (isEmpty(node.properties)) delete node.properties
  if (node["x-kubernetes-int-or-string"] === true) {
    delete node.type
    delete node.maxLength
    delete node.minLength
  }
  if (node.type === "integer") integer(node)
  check(node, path)
  if (isNode(node.properties)) {
    const entries = Object.entries(node.properties) as [string, StructuralSchema][]
    node.properties = Object.fromEntries(
      entries.map(([key, value]) => [key, walk(value, path ? `${path}.${key}` : key)]),
    )
  }
  if (isNode(node.items)) node.items = walk(node.items, `${path}[]`)
  return node
}

/** The node at the dotted path of a rule. Throws a TypeError if there is none. */
const nodeAt = (root: StructuralSchema, path: string): StructuralSchema => {
  let node = root
  for (const part of path === "" ? [] : path.split(".")) {
    const next = isNode(node.properties) ? node.properties[part] : undefined
    if (!isNode(next)) return refuse(path, "the rule's path names no field")
    node = next
  }
  return node
}

const addRule = (root: StructuralSchema, rule: Rule): void => {
  const node = nodeAt(root, rule.path)
  const before = (node["x-kubernetes-validations"] as unknown[] | undefined) ?? []
  node["x-kubernetes-validations"] = [
    ...before,
    {
      rule: rule.cel,
      message: rule.message,
      ...(rule.field === undefined ? {} : { fieldPath: `.${rule.field}` }),
      ...(rule.isMissing === true ? { reason: "FieldValueRequired" } : {}),
    },
  ]
}

/**
 * The structural form of one zod schema; `path` is its place in messages. Throws a TypeError that names the field if a
 * part of the schema has no structural form.
 */
export const toNode = (path: string, schema: z.ZodType): StructuralSchema => {
  checkRepresentable(path, schema)
  return walk(
    z.toJSONSchema(schema, { target: "openapi-3.0", io: "input", reused: "inline" }) as StructuralSchema,
    path,
  )
}

/**
 * The structural schema of a kind (Kubernetes: "Specifying a structural schema") of its spec, status and CEL rules.
 * Throws a TypeError that names the field if a part of the zod schema has no structural form: if a check were dropped
 * silently, the API server would accept objects that this program refuses.
 */
export const toStructural = <T extends KubeObject>(
  kind: Kind<T>,
  parts: { readonly spec: z.ZodType; readonly status: z.ZodType },
): StructuralSchema => {
  const root: StructuralSchema = {
    type: "object",
    description: kind.crd?.description,
    required: ["spec"],
    properties: {
      apiVersion: { type: "string" },
      kind: { type: "string" },
      metadata: { type: "object" },
      spec: toNode("spec", parts.spec),
      status: toNode("status", parts.status),
    },
  }
  for (const rule of kind.rules ?? []) addRule(root, rule)
  return root
}

/** The CustomResourceDefinition of a kind of this program. Throws a TypeError for one of Kubernetes' own kinds. */
export const toCRD = <T extends KubeObject>(
  kind: Kind<T>,
  parts: { readonly spec: z.ZodType; readonly status: z.ZodType },
): StructuralSchema => {
  const crd = kind.crd
  if (crd === undefined) return refuse(kind.kind, "not one of our kinds")
  const [group, version] = kind.apiVersion.split("/")
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${kind.plural}.${group}`, labels: { "app.kubernetes.io/part-of": "reflow-gateway" } },
    spec: {
      group,
      names: {
        kind: kind.kind,
        listKind: `${kind.kind}List`,
        plural: kind.plural,
        singular: crd.singular,
        shortNames: crd.shortNames,
        categories: crd.categories,
      },
      scope: "Namespaced",
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          schema: { openAPIV3Schema: toStructural(kind, parts) },
          subresources: { status: {} },
          selectableFields: crd.selectableFields.map((jsonPath) => ({ jsonPath })),
          additionalPrinterColumns: crd.columns,
        },
      ],
    },
  }
}
