import { isDeepStrictEqual } from "node:util"
import { MCPInstanceSpec, MCPInstanceStatus, mcpInstanceKind } from "../kinds/mcp-instance.ts"
import { MCPTargetSpec, MCPTargetStatus, mcpTargetKind } from "../kinds/mcp-target.ts"
import { isNode, type StructuralSchema, toStructural } from "./structural.ts"

/** One of this program's kinds, with the schema of its CRD. */
export type OwnKind = {
  /** e.g. `MCPInstance`. */
  readonly kind: string
  /** e.g. `mcpinstances`. */
  readonly plural: string
  /** e.g. `mcp.reflow.io/v1alpha1`. */
  readonly apiVersion: string
  readonly schema: StructuralSchema
}

/** The kinds MCPInstance and MCPTarget, with the same schemas as in crd/. */
export const ownKinds = (): readonly OwnKind[] => [
  { ...mcpInstanceKind, schema: toStructural(mcpInstanceKind, { spec: MCPInstanceSpec, status: MCPInstanceStatus }) },
  { ...mcpTargetKind, schema: toStructural(mcpTargetKind, { spec: MCPTargetSpec, status: MCPTargetStatus }) },
]

/**
 * Keywords that are not compared as values: those with nodes below, which are compared one by one; `description`; and
 * `anyOf`, which the API server adds to int-or-string.
 */
const aside: readonly string[] = ["properties", "items", "additionalProperties", "description", "anyOf"]

const sorted = (value: unknown): unknown => (Array.isArray(value) ? [...value].sort() : value)

const keywordDiffers = (key: string, ours: StructuralSchema, theirs: StructuralSchema): boolean =>
  key === "required" || key === "enum"
    ? !isDeepStrictEqual(sorted(ours[key]), sorted(theirs[key]))
    : !isDeepStrictEqual(ours[key], theirs[key])

const below = (path: string, ours: unknown, theirs: unknown): string[] => {
  if (!isNode(ours)) return []
  return isNode(theirs) ? schemaDifferences(ours, theirs, path) : [`${path} is missing`]
}

/**
 * Fields and keywords of `ours` that are missing or different in `theirs`, the API server's schema: a message for each,
 * e.g. `spec.port: maximum differs`. A field that only `theirs` has comes from a newer version and is no difference.
 */
export const schemaDifferences = (ours: StructuralSchema, theirs: StructuralSchema, path = ""): string[] => {
  const keys = new Set([...Object.keys(ours), ...Object.keys(theirs)].filter((key) => !aside.includes(key)))
  const differing = [...keys].filter((key) => keywordDiffers(key, ours, theirs))
  const fields = isNode(ours.properties) ? Object.entries(ours.properties) : []
  const theirFields = isNode(theirs.properties) ? theirs.properties : {}
  return [
    ...differing.map((key) => `${path || "the object"}: ${key} differs`),
    ...fields.flatMap(([name, node]) => below(path === "" ? name : `${path}.${name}`, node, theirFields[name])),
    ...below(`${path}[]`, ours.items, theirs.items),
    ...below(`${path}.*`, ours.additionalProperties, theirs.additionalProperties),
  ]
}
