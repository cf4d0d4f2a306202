import { z } from "zod"
import { instanceFields, remoteTransport } from "../api/kinds/remote.ts"
import { isFields } from "../api/patch.ts"
import { errorTable } from "../errors.ts"
import { schemas } from "./contracts.ts"
import { isOperation, operation, operations } from "./operations.ts"
import { readOnlyTargetFields } from "./resources.ts"
import { restName } from "./rest.ts"

/** A JSON Schema of the OpenAPI document. */
export type JsonSchema = { readonly [key: string]: unknown }

/** Removes the x-kubernetes-* keywords; x-kubernetes-int-or-string becomes its JSON Schema equivalent. */
const plain = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(plain)
  if (!isFields(value)) return value
  const kept = Object.entries(value).filter(([key]) => !key.startsWith("x-kubernetes-") && key !== "$schema")
  const schema = Object.fromEntries(kept.map(([key, each]) => [key, plain(each)]))
  return value["x-kubernetes-int-or-string"] === true ? { ...schema, type: ["string", "number"] } : schema
}

const toSchema = (schema: z.ZodType, io: "input" | "output"): JsonSchema =>
  plain(z.toJSONSchema(schema, { target: "draft-2020-12", io, reused: "inline" })) as JsonSchema

const propertiesOf = (schema: JsonSchema): Readonly<Record<string, JsonSchema>> =>
  isFields(schema.properties) ? (schema.properties as Record<string, JsonSchema>) : {}

/** Schemas of the read-only fields, which a body may contain: they are ignored. */
const ignored = Object.fromEntries(
  readOnlyTargetFields.map((name) => [name, { description: "Read-only: ignored in a request." }]),
)

/** The schema of a merge patch (RFC 7396): every field is optional and may be null. */
const toPatch = (schema: JsonSchema): JsonSchema => {
  const { required: _, default: __, ...rest } = schema
  const properties = Object.entries(propertiesOf(schema)).map(([name, each]) => [
    name,
    each.type === "object" ? toNullable(toPatch(each)) : toNullable(each),
  ])
  const more = isFields(schema.additionalProperties) && Object.keys(schema.additionalProperties).length > 0
  return {
    ...rest,
    ...(properties.length === 0 ? {} : { properties: Object.fromEntries(properties) }),
    ...(more ? { additionalProperties: toNullable(schema.additionalProperties as JsonSchema) } : {}),
  }
}

const toNullable = (schema: JsonSchema): JsonSchema => {
  const { default: _, ...rest } = schema
  if (Object.keys(rest).every((key) => key === "description")) return rest
  return { anyOf: [rest, { type: "null" }] }
}

/** The forms of a target's body: fields that one demands, the others refuse. */
const targetForms: readonly JsonSchema[] = [
  {
    title: "A server in the cluster",
    required: ["image"],
    properties: { transport_type: { const: "kubernetes" }, remote: false, package: false },
    anyOf: [{ required: ["port"] }, { required: ["stdio"] }],
  },
  {
    title: "A published package as a server in the cluster",
    required: ["package"],
    properties: { transport_type: { const: "kubernetes" }, remote: false, image: false, command: false },
    anyOf: [{ required: ["port"] }, { required: ["stdio"] }],
  },
  {
    title: "A server that somebody else runs",
    required: ["transport_type", "remote"],
    properties: {
      ...Object.fromEntries(instanceFields.map((field) => [restName(field), false])),
      transport_type: { const: remoteTransport },
      identity_headers: { const: false },
    },
  },
]

/** The forms of a new target's body: those of a target, or a document. */
const newTargetForms: readonly JsonSchema[] = [
  ...targetForms.map((form) => ({
    ...form,
    properties: { ...propertiesOf(form), server_json: false, prefer: false, arguments: false },
  })),
  { title: "A target that is made of a server.json", required: ["server_json"] },
]

const problem: JsonSchema = {
  type: "object",
  description: "An error (RFC 9457). Some codes add members of their own.",
  required: ["type", "title", "status", "detail", "code", "help", "retryable", "request_id"],
  properties: {
    type: { type: "string", const: "about:blank" },
    title: { type: "string", description: "The HTTP status in words." },
    status: { type: "integer", description: "The HTTP status." },
    detail: { type: "string", description: "What is wrong. Contains names, never values." },
    code: { type: "string", enum: Object.keys(errorTable), description: "Stable name of the error." },
    help: { type: "string", description: "What to do next." },
    retryable: { type: "boolean", description: "True if the same request may succeed later." },
    request_id: { type: "string", description: "Also in the log of the gateway." },
    errors: {
      type: "array",
      description: "The fields that are wrong.",
      items: {
        type: "object",
        required: ["pointer", "detail"],
        properties: {
          pointer: { type: "string", description: "JSON Pointer (RFC 6901) of the field in the body." },
          detail: { type: "string", description: "Which rule it breaks." },
          manager: { type: "string", description: "The field manager that wrote the field last." },
        },
      },
    },
  },
}

/** All schemas of the OpenAPI document, by name. */
export const documentSchemas = (): Readonly<Record<string, JsonSchema>> => {
  const made = Object.entries(schemas).map(([name, schema]): [string, JsonSchema] => [
    name,
    toSchema(schema, name.endsWith("Input") ? "input" : "output"),
  ])
  const named = Object.fromEntries(made)
  const input = named.TargetInput ?? {}
  const created = named.NewTargetInput ?? {}
  return {
    ...named,
    TargetInput: { ...input, properties: { ...propertiesOf(input), ...ignored }, anyOf: targetForms },
    NewTargetInput: { ...created, properties: { ...propertiesOf(created), ...ignored }, anyOf: newTargetForms },
    TargetPatch: { ...toPatch(input), properties: { ...propertiesOf(toPatch(input)), ...ignored } },
    Problem: problem,
  }
}

type Link = { readonly operationId: string; readonly parameters: Readonly<Record<string, string>> }

const below = (path: string) =>
  Object.keys(operations)
    .filter(isOperation)
    .filter((name) => operation(name).path.startsWith(path))

/**
 * True for calls that delete a scope's values. They get no link: an empty scope still answers 200, which test tools
 * would report as a use after deletion.
 */
const emptiesScope = (name: string): boolean =>
  operation(name as keyof typeof operations).method === "DELETE" && name.endsWith("Values")

/** Links from a target to its calls; `name` and `etag` are runtime expressions (OpenAPI 3.1 §4.8.20). */
const fromTarget = (name: string, etag?: string): Readonly<Record<string, Link>> =>
  Object.fromEntries(
    below("/targets/:id")
      .filter((name) => !emptiesScope(name))
      .map((operationId) => {
        const version = etag !== undefined && operationId === "replaceTarget" ? { "header.If-Match": etag } : {}
        return [operationId, { operationId, parameters: { "path.id": name, ...version } }]
      }),
  )

const fromInstances: Readonly<Record<string, Link>> = Object.fromEntries(
  below("/instances/:name").map((operationId) => [
    operationId,
    { operationId, parameters: { "path.name": "$response.body#/items/0/name" } },
  ]),
)

/** Links from a call's response to other calls: names, and the ETag for a replacement. Undefined if there are none. */
export const linksOf = (name: string): Readonly<Record<string, Link>> | undefined => {
  switch (name) {
    case "createTarget":
    case "getTarget":
      return fromTarget("$response.body#/name", "$response.header.ETag")
    case "listTargets":
      return fromTarget("$response.body#/items/0/name")
    case "listInstances":
    case "listTargetInstances":
      return fromInstances
    default:
      return undefined
  }
}
