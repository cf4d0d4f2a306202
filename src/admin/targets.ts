import { idleEntries } from "../api/access-entries.ts"
import { apiVersion } from "../api/kinds/kind.ts"
import { type MCPTarget, MCPTargetSpec, MCPTargetStatus, mcpTargetKind, targetRules } from "../api/kinds/mcp-target.ts"
import { findDeclarationErrors } from "../credentials/names.ts"
import { hasCode } from "../errors.ts"
import { type Call, caughtUp, type Handler, requireTarget } from "./call.ts"
import { ensurePreconditions, etagOf } from "./if-match.ts"
import { publicTargetFields } from "./operations.ts"
import { toPage } from "./page.ts"
import { readOnlyTargetFields, TargetInput } from "./resources.ts"
import { fromRest, restPath, toRest } from "./rest.ts"
import { brokenRules, type FieldProblem, fromPaths, parseBody, toPointer, validationFailed } from "./validation.ts"

type Fields = Readonly<Record<string, unknown>>

/** A target as the caller may see it: all fields for administrators, else the name and the public fields. */
const viewTarget = (call: Pick<Call, "admin">, { metadata, spec, status }: MCPTarget): Fields => {
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

/** The ETag header of a target; empty if it has no generation. */
export const etagHeader = (target: MCPTarget): Readonly<Record<string, string>> => {
  const etag = etagOf(target)
  return etag === undefined ? {} : { etag }
}

/** The writable fields of a target under REST names. Fields that this version does not know are left out. */
export const writablePart = ({ metadata, spec }: MCPTarget): Fields => ({
  name: metadata.name,
  ...toRest(MCPTargetSpec, spec),
})

/** A body without the read-only fields that a GET returns. */
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
    ...(renamed ? [{ pointer: "/name", detail: "name is immutable: delete the target and create it again" }] : []),
    ...brokenRules(targetRules, target, old),
    ...fromPaths(findDeclarationErrors(spec)),
  ]
  if (problems.length > 0) throw validationFailed(problems)
  return target
}

/** Maximum number of warnings in a response. */
const mostWarnings = 20

/** Warnings about a target that was written: access entries that match nobody, plugins that are not loaded. */
const warningsOf = ({ access, pluginFaults }: Call["deps"], { spec }: MCPTarget): readonly FieldProblem[] =>
  [...idleEntries(spec.access, access.issuers), ...(pluginFaults?.(spec) ?? [])]
    .slice(0, mostWarnings)
    .map(({ path, message }) => ({ pointer: toPointer(restPath(MCPTargetSpec, path)), detail: message }))

/** A target as the response to a write, with warnings; `more` are those of the request itself. */
export const viewWritten = (
  call: Pick<Call, "admin" | "deps">,
  target: MCPTarget,
  more: readonly FieldProblem[] = [],
): Fields => {
  const warnings = [...warningsOf(call.deps, target), ...more].slice(0, mostWarnings)
  return { ...viewTarget(call, target), ...(warnings.length === 0 ? {} : { warnings }) }
}

/** GET /api/targets */
export const listTargets: Handler = (call) => {
  const { targets, access } = call.deps
  const visible = [...targets.items()].filter((target) => call.admin || access.mayUse(target, call.identity))
  const page = toPage(visible, call.query)
  return { body: { ...page, items: page.items.map((target) => viewTarget(call, target)) } }
}

/** GET /api/targets/{id} */
export const getTarget: Handler = async (call) => {
  const target = await requireTarget(call)
  return { headers: etagHeader(target), body: viewTarget(call, target) }
}

/** Deletes the target: only the version that If-Match names, if the request has one, else any version. */
const remove = async (call: Call): Promise<MCPTarget> => {
  const { cluster, namespace } = call.deps
  for (;;) {
    const target = await requireTarget(call)
    ensurePreconditions(call.headers, target)
    const { name, uid, resourceVersion } = target.metadata
    const exact = call.headers.has("if-match") && resourceVersion !== undefined ? { resourceVersion } : {}
    const preconditions = { ...(uid === undefined ? {} : { uid }), ...exact }
    try {
      await cluster.delete(mcpTargetKind, { namespace, name }, { signal: call.signal, preconditions })
      return target
    } catch (error) {
      // written meanwhile, maybe only the status: read it again and compare the generation
      if (!hasCode(error, "ApiConflict")) throw error
    }
  }
}

/** DELETE /api/targets/{id}: its instances and credentials are deleted with it, since it owns them. */
export const deleteTarget: Handler = async (call) => {
  const { targets, clock } = call.deps
  const { name, uid } = (await remove(call)).metadata
  await caughtUp(targets, clock, () => {
    const seen = targets.get(name)?.metadata
    return seen?.uid !== uid || seen?.deletionTimestamp !== undefined
  })
  return { status: 204 }
}
