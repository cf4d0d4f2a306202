import { createHash } from "node:crypto"
import { existsSync } from "node:fs"
import type { ObjectMeta } from "../../api/kinds/kind.ts"
import { type Secret, secretKind, toSecretData } from "../../api/kinds/kubernetes.ts"
import { type MCPTarget, MCPTargetSpec, mcpTargetKind } from "../../api/kinds/mcp-target.ts"
import { suggestion } from "../../api/nearest.ts"
import { configError } from "../../config/check.ts"
import { isTree, type Problem, type Tree } from "../../config/layer.ts"
import { type Manifest, readManifests } from "./manifests.ts"
import type { TargetDocument } from "./plan.ts"

/** Folder of targets that is loaded, if it exists, when no --targets or dev.targets is given. */
const examplesFolder = "examples/targets"

/** A fault of one field. */
type Fault = { readonly path: string; readonly message: string }

const pathOf = (path: readonly PropertyKey[]): string =>
  path.reduce<string>((joined, part) => joined + (typeof part === "number" ? `[${part}]` : `.${String(part)}`), "spec")

/**
 * Faults for the fields of `given` that are missing in `kept`: the schema dropped them, since it does not know them.
 */
const unknownFields = (given: unknown, kept: unknown, path: string): readonly Fault[] => {
  if (Array.isArray(given) && Array.isArray(kept))
    return given.flatMap((each, index) => unknownFields(each, kept[index], `${path}[${index}]`))
  if (!isTree(given) || !isTree(kept)) return []
  return Object.entries(given).flatMap(([name, value]) => {
    const below = `${path}.${name}`
    if (Object.hasOwn(kept, name)) return unknownFields(value, kept[name], below)
    return [{ path: below, message: `unknown field${suggestion(name, Object.keys(MCPTargetSpec.shape))}` }]
  })
}

const topFields: readonly string[] = [
  "apiVersion",
  "kind",
  "metadata",
  "spec",
  "data",
  "stringData",
  "type",
  "immutable",
]

const headFaults = (values: Tree, namespace: string): readonly Fault[] => {
  const unknown = Object.keys(values)
    .filter((name) => !topFields.includes(name))
    .map((name) => ({ path: name, message: `unknown field${suggestion(name, topFields)}` }))
  const metadata = isTree(values.metadata) ? values.metadata : {}
  const elsewhere = metadata.namespace !== undefined && metadata.namespace !== namespace
  const kinds = [mcpTargetKind, secretKind]
  return [
    ...unknown,
    ...(typeof metadata.name === "string" ? [] : [{ path: "metadata.name", message: "is missing" }]),
    ...(elsewhere
      ? [{ path: "metadata.namespace", message: `must be ${namespace} (kubernetes.namespace), or absent` }]
      : []),
    ...(kinds.some(({ apiVersion, kind }) => values.apiVersion === apiVersion && values.kind === kind)
      ? []
      : [
          {
            path: "kind",
            message: `must be ${kinds.map((each) => `${each.kind} of ${each.apiVersion}`).join(" or ")}`,
          },
        ]),
  ]
}

const texts = (value: unknown): Record<string, string> =>
  Object.fromEntries(Object.entries(isTree(value) ? value : {}).map(([name, each]) => [name, String(each)]))

const metadataOf = (values: Tree, namespace: string): ObjectMeta => {
  const { name, labels, annotations } = isTree(values.metadata) ? values.metadata : {}
  return { name: String(name), namespace, labels: texts(labels), annotations: texts(annotations) }
}

type Outcome = { readonly target: MCPTarget } | { readonly secret: Secret } | { readonly faults: readonly Fault[] }

const toTarget = (values: Tree, namespace: string): Outcome => {
  const parsed = MCPTargetSpec.safeParse(values.spec)
  if (!parsed.success)
    return { faults: parsed.error.issues.map(({ path, message }) => ({ path: pathOf(path), message })) }
  const faults = unknownFields(values.spec, parsed.data, "spec")
  if (faults.length > 0) return { faults }
  const { apiVersion, kind } = mcpTargetKind
  return { target: { apiVersion, kind, metadata: metadataOf(values, namespace), spec: parsed.data } }
}

const toObject = ({ values }: Manifest, namespace: string): Outcome => {
  const faults = headFaults(values, namespace)
  if (faults.length > 0) return { faults }
  if (values.kind === mcpTargetKind.kind) return toTarget(values, namespace)
  const { apiVersion, kind } = secretKind
  const data = { ...texts(values.data), ...toSecretData(texts(values.stringData)) }
  return { secret: { apiVersion, kind, metadata: metadataOf(values, namespace), type: "Opaque", data } }
}

const toProblems = (manifest: Manifest, faults: readonly Fault[]): readonly Problem[] =>
  faults.map(({ path, message }) => ({ source: manifest.sourceOf(path), key: `${manifest.label}: ${path}`, message }))

/** The paths to load: `named`, else the folder examples/targets in the working directory if it exists. */
export const targetPaths = (named: readonly string[]): readonly string[] => {
  if (named.length > 0) return named
  return existsSync(examplesFolder) ? [examplesFolder] : []
}

/** SHA-256 of a manifest's values, in hex. */
const digestOf = ({ values }: Manifest): string => createHash("sha256").update(JSON.stringify(values)).digest("hex")

/** Reads the targets and Secrets of YAML files. Each problem names file, line, document and field. */
export const readTargets = (
  paths: readonly string[],
  namespace: string,
): { readonly documents: readonly TargetDocument[]; readonly problems: readonly Problem[] } => {
  const { manifests, problems } = readManifests(paths)
  const read = manifests.map((manifest): { document?: TargetDocument; problems?: readonly Problem[] } => {
    const outcome = toObject(manifest, namespace)
    if ("faults" in outcome) return { problems: toProblems(manifest, outcome.faults) }
    const object = "target" in outcome ? outcome.target : outcome.secret
    return { document: { manifest, object, digest: digestOf(manifest) } }
  })
  return {
    documents: read.flatMap(({ document }) => (document === undefined ? [] : [document])),
    problems: [...problems, ...read.flatMap((each) => each.problems ?? [])],
  }
}

/**
 * Throws `ConfigInvalid` with every problem, if there is one: the role does not start with only a part of the targets.
 */
export const ensureSound = (problems: readonly Problem[]): void => {
  if (problems.length > 0) throw configError(problems, "the targets")
}
