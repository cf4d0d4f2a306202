import { STATUS_CODES } from "node:http"
import { credentialScopes, targetNamePattern } from "../api/names.ts"
import { type ErrorCode, errorTable } from "../errors.ts"
import { version } from "../version.ts"
import { type Contract, commonErrors, contracts } from "./contracts.ts"
import { documentSchemas, type JsonSchema, linksOf } from "./document-schemas.ts"
import { isOperation, type Operation, operation, operations } from "./operations.ts"
import { namePattern } from "./page.ts"
import { maxWho } from "./who.ts"

type Json = Readonly<Record<string, unknown>>

const ref = (name: string): JsonSchema => ({ $ref: `#/components/schemas/${name}` })

/** `/targets/:id/env/:scope/**:who` as OpenAPI writes it. */
export const documentPath = (path: string): string => `/api${path.replaceAll(/(?:\*\*)?:(\w+)/g, "{$1}")}`

/** What a URL path can carry: no backslash, no NUL and no segment `.` or `..`, which URL parsers change or refuse. */
const whoPattern = "^(?!(?:.*/)?\\.{1,2}(?:/|$))[^\\\\\\x00]+$"

const pathParameters: Readonly<Record<string, { readonly schema: JsonSchema; readonly description: string }>> = {
  id: {
    schema: { type: "string", pattern: targetNamePattern.source },
    description: "Name of the target.",
  },
  name: { schema: { type: "string", pattern: namePattern.source }, description: "Name of the instance." },
  scope: {
    schema: { type: "string", enum: credentialScopes },
    description: "default applies to everybody; role, group and user need a name after it.",
  },
  who: {
    schema: { type: "string", minLength: 1, maxLength: maxWho, pattern: whoPattern },
    description: "issuer/name of the role, group or user; the name alone is enough if one issuer is configured.",
  },
}

const queryParameters: Readonly<Record<string, { readonly schema: JsonSchema; readonly description: string }>> = {
  limit: {
    schema: { type: "integer", minimum: 1, maximum: 500, default: 100 },
    description: "Maximum number of items of a page.",
  },
  continue: {
    schema: { type: "string", pattern: namePattern.source },
    description: "The value of continue in the previous page.",
  },
  force: {
    schema: { type: "boolean", default: false },
    description: "True: also change fields that another field manager wrote last.",
  },
  tail: {
    schema: { type: "integer", minimum: 1, maximum: 10_000, default: 500 },
    description: "Number of lines from the end of the log.",
  },
  follow: {
    schema: { type: "boolean", default: false },
    description: "True: keep the response open and send new lines as they are written.",
  },
  previous: {
    schema: { type: "boolean", default: false },
    description: "True: the log of the container before its last restart.",
  },
  installer: {
    schema: { type: "boolean", default: false },
    description: "True: the log of the installation of the server's package; empty for other servers.",
  },
}

const parameter = (name: string, where: "path" | "query", table: typeof pathParameters): Json => ({
  name,
  in: where,
  required: where === "path",
  ...table[name],
})

const ifMatch = (method: Operation["method"]): Json => ({
  name: "If-Match",
  in: "header",
  required: method === "PUT",
  schema: { type: "string" },
  description: "ETag of the version to change, or * for any.",
})

const ifNoneMatch: Json = {
  name: "If-None-Match",
  in: "header",
  required: false,
  schema: { type: "string" },
  description: "ETags of versions that must not be changed; with * the call is always refused.",
}

const parametersOf = (name: string, { path, method, query = [] }: Operation): readonly Json[] => {
  const inPath = [...path.matchAll(/:(\w+)/g)].map(([, each = ""]) => {
    const found = parameter(each, "path", pathParameters)
    // in a path without a name, only the scope `default` is valid
    return each === "scope" ? { ...found, schema: scopeSchema(path) } : found
  })
  const versioned = ["replaceTarget", "patchTarget", "deleteTarget"].includes(name)
  return [
    ...inPath,
    ...query.map((each) => parameter(each, "query", queryParameters)),
    ...(versioned ? [ifMatch(method), ifNoneMatch] : []),
  ]
}

const scopeSchema = (path: string): JsonSchema => ({
  type: "string",
  enum: credentialScopes.filter((scope) => (scope === "default") === path.endsWith(":scope")),
})

const header = (description: string): Json => ({ description, schema: { type: "string" } })
const requestId = { "X-Request-Id": header("Id of the request, also in the log.") }

const successHeaders = (name: string): Json => {
  const etag = { ETag: header("The version: the generation of the target's fields, not of its status.") }
  if (name === "createTarget") return { ...etag, Location: header("Path of the target.") }
  return ["getTarget", "replaceTarget", "patchTarget"].includes(name) ? etag : {}
}

const successOf = (name: string, { answer: { schema } }: Contract): Json => {
  const headers = { ...requestId, ...successHeaders(name) }
  const links = linksOf(name)
  if (schema === undefined) return { description: "Done.", headers }
  if (schema === "text")
    return { description: "The log.", headers, content: { "text/plain": { schema: { type: "string" } } } }
  const content = { "application/json": { schema: schema === "document" ? { type: "object" } : ref(schema) } }
  return { description: "Done.", headers, content, ...(links === undefined ? {} : { links }) }
}

const refusalHeaders = (codes: readonly ErrorCode[]): Json => ({
  ...requestId,
  ...(codes.includes("Unauthenticated") ? { "WWW-Authenticate": header("How to log in.") } : {}),
  ...(codes.some((code) => errorTable[code].retryable) ? { "Retry-After": header("Seconds to wait.") } : {}),
})

/** The error responses by HTTP status, each with its error codes. */
const refusalsOf = (codes: readonly ErrorCode[]): Readonly<Record<string, Json>> => {
  const byStatus = Map.groupBy(codes, (code) => errorTable[code].status)
  const entries = [...byStatus].sort(([left], [right]) => left - right)
  return Object.fromEntries(
    entries.map(([status, alike]) => [
      status,
      {
        description: `${STATUS_CODES[status]}. ${alike.map((code) => `${code}: ${errorTable[code].help}`).join(" ")}`,
        headers: refusalHeaders(alike),
        content: { "application/problem+json": { schema: ref("Problem") } },
      },
    ]),
  )
}

const rights: Readonly<Record<Operation["who"], string>> = {
  admin: "For administrators.",
  usable: "For everybody, for targets that they may use.",
  own: "For everybody, for their own objects; administrators see all.",
}

const bodyOf = ({ body }: Contract, { takes }: Operation): Json => {
  if (body === undefined) return {}
  const content = { [takes ?? "application/json"]: { schema: ref(body.schema) } }
  return { requestBody: { required: body.required, content } }
}

/** All error codes that a call may be refused with. */
export const errorsOf = (name: keyof typeof operations): readonly ErrorCode[] => [
  ...new Set<ErrorCode>([
    ...commonErrors,
    ...(operation(name).who === "admin" ? (["Forbidden"] as const) : []),
    ...contracts[name].errors,
  ]),
]

const describe = (name: keyof typeof operations): Json => {
  const [contract, row] = [contracts[name], operation(name)]
  return {
    operationId: name,
    summary: contract.summary,
    description: [contract.description, rights[row.who]].filter((text) => text !== undefined).join(" "),
    parameters: parametersOf(name, row),
    ...bodyOf(contract, row),
    responses: { [contract.answer.status]: successOf(name, contract), ...refusalsOf(errorsOf(name)) },
  }
}

const pathsOf = (): Json => {
  const paths: Record<string, Record<string, unknown>> = {}
  for (const name of Object.keys(operations).filter(isOperation)) {
    const { path, method } = operation(name)
    const at = documentPath(path)
    paths[at] = { ...paths[at], [method.toLowerCase()]: describe(name) }
  }
  return paths
}

/** The REST API as an OpenAPI 3.1 document, built from the schemas and tables that the REST API itself uses. */
export const makeDocument = (): Json => ({
  openapi: "3.1.0",
  info: {
    title: "Reflow Gateway",
    version,
    description: "Targets, their instances and their credentials. Errors are problem documents (RFC 9457).",
    license: { name: "Apache-2.0", identifier: "Apache-2.0" },
  },
  servers: [{ url: "/" }],
  security: [{ token: [] }],
  paths: pathsOf(),
  components: {
    securitySchemes: { token: { type: "http", scheme: "bearer", description: "A token for the REST API." } },
    schemas: documentSchemas(),
  },
})
