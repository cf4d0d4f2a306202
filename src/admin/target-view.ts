import { idleEntries } from "../api/access-entries.ts"
import { apiVersion } from "../api/kind.ts"
import { type MCPTarget, MCPTargetSpec, MCPTargetStatus, mcpTargetKind, targetRules } from "../api/mcp-target.ts"
import { findDeclarationErrors } from "../credentials/names.ts"
import type { Call } from "./call.ts"
import { etagOf } from "./if-match.ts"
import { publicTargetFields } from "./operations.ts"
import type { FieldProblem } from "./problem.ts"
import { readOnlyTargetFields, TargetInput } from "./resources.ts"
import { fromRest, restPath, toRest } from "./rest.ts"
import { brokenRules, fromPaths, parseBody, toPointer, validationFailed } from "./validation.ts"

type Fields = Readonly<Record<string, unknown>>

/** A target for the caller: whole for administrators, else what its users need to know. */
export const viewTarget = (call: Pick<Call, "admin">, { metadata, spec, status }: MCPTarget): Fields => {
  if (!call.admin) {
    const visible = Object.entries(spec).filter(([field]) => publicTargetFields.includes(field))
    return { name: metadata.name, ...toRest(MCPTargetSpec, Object.fromEntries(visible)) }
  }
  return {
    name: metadata.name,
    ...toRest(MCPTargetSpec, spec),
    generation: metadata.generation,
    created_time: metadata.creationTimestamp,
    ...(metadata.deletionTimestamp === undefined ? {} : { deleting: true }),
    ...(status === undefined ? {} : { status: toRest(MCPTargetStatus, status) }),
  }
}

/** The ETag header of a target. */
export const etagHeader = (target: MCPTarget): Readonly<Record<string, string>> => {
  const etag = etagOf(target)
  return etag === undefined ? {} : { etag }
}

/** What can be written of a target, under REST names; fields that this version does not know are left out. */
export const writablePart = ({ metadata, spec }: MCPTarget): Fields => ({
  name: metadata.name,
  ...toRest(MCPTargetSpec, spec),
})

/** A body without what a GET shows and nobody can write. */
export const withoutReadOnly = (body: unknown): unknown =>
  typeof body === "object" && body !== null && !Array.isArray(body)
    ? Object.fromEntries(Object.entries(body).filter(([name]) => !readOnlyTargetFields.includes(name)))
    : body

/** The target that a body describes, as the next state of `old` if there is one. Throws `ValidationFailed`. */
export const toTarget = (body: unknown, namespace: string, old?: MCPTarget): MCPTarget => {
  const { name, ...fields } = parseBody(TargetInput, withoutReadOnly(body))
  const spec = MCPTargetSpec.parse(fromRest(MCPTargetSpec, fields))
  const target: MCPTarget = { apiVersion, kind: mcpTargetKind.kind, metadata: { name, namespace }, spec }
  const renamed = old !== undefined && old.metadata.name !== name
  const problems = [
    ...(renamed ? [{ pointer: "/name", detail: "name is immutable: delete the target and create it anew" }] : []),
    ...brokenRules(targetRules, target, old),
    ...fromPaths(findDeclarationErrors(spec)),
  ]
  if (problems.length > 0) throw validationFailed(problems)
  return target
}

/** Most warnings of one answer. */
const mostWarnings = 20

/** What was written although it can hardly be meant: entries that match nobody, plugins that are not there. */
const warningsOf = ({ access, pluginFaults }: Call["deps"], { spec }: MCPTarget): readonly FieldProblem[] =>
  [...idleEntries(spec.access, access.issuers), ...(pluginFaults?.(spec) ?? [])]
    .slice(0, mostWarnings)
    .map(({ path, message }) => ({ pointer: toPointer(restPath(MCPTargetSpec, path)), detail: message }))

/** A target as the answer to who wrote it. */
export const viewWritten = (call: Pick<Call, "admin" | "deps">, target: MCPTarget): Fields => {
  const warnings = warningsOf(call.deps, target)
  return { ...viewTarget(call, target), ...(warnings.length === 0 ? {} : { warnings }) }
}
