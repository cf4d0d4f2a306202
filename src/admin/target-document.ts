/** A target that is made of a server.json of the MCP registry, for the REST API and for the command line. */
import { isDeepStrictEqual } from "node:util"
import { z } from "zod"
import { type MCPTarget, MCPTargetSpec } from "../api/kinds/mcp-target.ts"
import { labels } from "../api/names.ts"
import { type Fields, isFields } from "../api/patch.ts"
import { type Conversion, fromServerJson } from "../api/server-json/convert.ts"
import { AppError, hasCode } from "../errors.ts"
import { documentFields } from "./resources.ts"
import { restPath, toRest } from "./rest.ts"
import { toTarget, withoutReadOnly } from "./targets.ts"
import { type FieldProblem, parseBody, validationFailed } from "./validation.ts"

/** True for a body with a document of which the target is to be made. */
export const hasDocument = (body: unknown): body is Fields => isFields(body) && Object.hasOwn(body, "server_json")

const Wishes = z.strictObject({ prefer: documentFields.prefer })

/** The entrypoint in a body if it is one; else undefined, and the check of the whole target says what is wrong. */
const commandOf = ({ command }: Fields): readonly string[] | undefined =>
  Array.isArray(command) && command.every((word) => typeof word === "string") ? command : undefined

const isEmpty = (value: unknown): boolean => isFields(value) && Object.keys(value).length === 0

/** Fields of the body that say something else than the document; an empty object can be filled. */
const conflictsOf = (made: Fields, given: Fields): readonly FieldProblem[] =>
  Object.keys(given)
    .filter((name) => Object.hasOwn(made, name) && !isEmpty(made[name]) && !isDeepStrictEqual(made[name], given[name]))
    .map((name) => ({ pointer: `/${name}`, detail: "comes from server_json: leave it out" }))

/** REST names of the spec's fields back to the kind's, for the fields that a document decides. */
const fieldNames = new Map(Object.keys(MCPTargetSpec.shape).map((name) => [restPath(MCPTargetSpec, [name])[0], name]))
const innerNames = new Map([
  ["registry_type", "registryType"],
  ["registry_base_url", "registryBaseUrl"],
])

/** The same problems, at the places of the document that the fields come from. */
const atOrigins = (error: AppError, originOf: Conversion["originOf"], given: Fields): AppError => {
  const problems = (error.data?.errors as readonly FieldProblem[] | undefined) ?? []
  return validationFailed(
    problems.map(({ pointer, detail }) => {
      const [first = "", ...rest] = pointer.split("/").slice(1)
      const inner = rest.map((part) => innerNames.get(part) ?? part)
      const origin = Object.hasOwn(given, first) ? undefined : originOf([fieldNames.get(first) ?? first, ...inner])
      return origin === undefined
        ? { pointer, detail }
        : { pointer: origin, detail: `${detail} (the target's ${pointer})` }
    }),
  )
}

/** Where the target will be, and the time, in milliseconds since the Unix epoch. */
type Around = { readonly namespace: string; readonly now: number }

/**
 * The target of a body with `server_json`, and what its author should know. Other fields of a target may stand beside the
 * document. Pure. Throws `ValidationFailed` with pointers into the body.
 */
export const targetOfDocument = (
  body: Fields,
  { namespace, now }: Around,
): { readonly target: MCPTarget; readonly warnings: readonly FieldProblem[] } => {
  const { server_json: document, prefer: wanted, arguments: given, ...fields } = withoutReadOnly(body) as Fields
  const { prefer } = parseBody(Wishes, wanted === undefined ? {} : { prefer: wanted })
  const today = new Date(now).toISOString().slice(0, 10)
  const made = fromServerJson(document, { today, prefer, arguments: given, command: commandOf(fields) })
  if ("refusals" in made) throw validationFailed(made.refusals)
  const decided = toRest(MCPTargetSpec, made.spec)
  const conflicts = conflictsOf(decided, fields)
  if (conflicts.length > 0) throw validationFailed(conflicts)
  try {
    const target = toTarget({ ...decided, ...fields }, namespace)
    const annotations = { [labels.serverJson]: made.provenance }
    return { target: { ...target, metadata: { ...target.metadata, annotations } }, warnings: made.warnings }
  } catch (error) {
    if (error instanceof AppError && hasCode(error, "ValidationFailed")) throw atOrigins(error, made.originOf, fields)
    throw error
  }
}
