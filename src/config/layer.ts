import { parseDocument } from "yaml"
import { suggestion } from "../api/nearest.ts"
import { type KeyNode, keyAt, leafKeys, type Path, pathText, rootKey } from "./key-tree.ts"

/** Configuration as it stands in the file: nested keys, durations and sizes as text. */
export type Tree = { readonly [key: string]: unknown }

/** One thing that is wrong with the configuration. Never holds a secret's value. */
export type Problem = {
  /** Place of the problem: `reflow.yaml:12`, `REFLOW_LOG__LEVEL`, `--set log.level`. */
  readonly source: string
  /** The dotted key; empty if the problem concerns the whole source. */
  readonly key: string
  /** What is wrong and what is allowed. */
  readonly message: string
}

/** One source of configuration: the file, the environment, the flags, the defaults of a role. */
export type Layer = {
  readonly values: Tree
  /** Where a value stands; the place of the nearest key above if its own place is not known. */
  readonly sourceOf: (path: Path) => string
  /** Parts of the source that could not be read; `values` is then incomplete. */
  readonly problems: readonly Problem[]
}

/** A value of the environment or of a flag, before it is parsed. */
export type Assignment = { readonly path: readonly string[]; readonly text: string; readonly source: string }

/** True for a plain map of keys. */
export const isTree = (value: unknown): value is Tree =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** `tree` with `value` at `path`. */
const withValue = (tree: Tree, path: readonly string[], value: unknown): Tree => {
  const [first, ...rest] = path
  if (first === undefined) return tree
  const below = tree[first]
  return { ...tree, [first]: rest.length === 0 ? value : withValue(isTree(below) ? below : {}, rest, value) }
}

const isQuoted = (text: string): boolean => {
  const inside = text.trim()
  const quote = inside.charAt(0)
  return inside.length > 1 && (quote === '"' || quote === "'") && inside.endsWith(quote) && !/[\r\n]/.test(inside)
}

/**
 * The value that `text` stands for: where the key takes text, the text itself without surrounding quotes; elsewhere the
 * value of one line of YAML. Undefined if it is not valid YAML.
 */
const parseText = (node: KeyNode, text: string): unknown => {
  if (node.isText && !isQuoted(text)) return text
  if (text.trim() === "") return ""
  const document = parseDocument(text, { prettyErrors: false, logLevel: "silent" })
  if (document.errors.length > 0 || document.warnings.length > 0) return undefined
  return document.toJS({ maxAliasCount: 0 })
}

const problemOf = (assignment: Assignment, node: KeyNode | undefined): Problem | undefined => {
  const key = pathText(assignment.path)
  const problem = (message: string): Problem => ({ source: assignment.source, key, message })
  if (node === undefined) return problem(`unknown key${suggestion(key, leafKeys.keys())}`)
  if (node.shape === "section")
    return problem(`is a section: set one of its keys (${[...node.children.keys()].join(", ")})`)
  return undefined
}

/** The layer of single assignments; of two assignments to one key the later wins. */
export const layerOf = (assignments: readonly Assignment[]): Layer => {
  const problems: Problem[] = []
  const sources = new Map<string, string>()
  let values: Tree = {}
  for (const assignment of assignments) {
    const key = pathText(assignment.path)
    const node = keyAt(assignment.path)
    const problem = problemOf(assignment, node)
    if (problem !== undefined || node === undefined) {
      if (problem !== undefined) problems.push(problem)
      continue
    }
    const value = parseText(node, assignment.text)
    sources.set(key, assignment.source)
    if (value === undefined) problems.push({ source: assignment.source, key, message: `must be ${node.allowed}` })
    else values = withValue(values, assignment.path, value)
  }
  return { values, problems, sourceOf: nearestSource(sources, "") }
}

/** Makes a function that gives the source of a path, or of the closest path above it, else `fallback`. */
export const nearestSource =
  (sources: ReadonlyMap<string, string>, fallback: string) =>
  (path: Path): string => {
    for (let length = path.length; length > 0; length--) {
      const source = sources.get(pathText(path.slice(0, length)))
      if (source !== undefined) return source
    }
    return fallback
  }

/** True if the layer itself has a value at `path`. */
const hasValue = (layer: Layer, path: readonly string[]): boolean => {
  let value: unknown = layer.values
  for (const part of path) {
    if (!isTree(value) || !Object.hasOwn(value, part)) return false
    value = value[part]
  }
  return true
}

/** The part of a path that names a key: sections are merged, and what is below a key comes from one layer. */
const keyOf = (path: Path): readonly string[] => {
  const names = path.filter((part) => typeof part === "string")
  let depth = 1
  while (depth < names.length && keyAt(names.slice(0, depth))?.shape === "section") depth++
  return names.slice(0, depth)
}

const mergeTrees = (lower: Tree, upper: Tree): Tree => {
  const merged: Record<string, unknown> = { ...lower }
  for (const [key, value] of Object.entries(upper)) {
    const below = merged[key]
    merged[key] = isTree(below) && isTree(value) ? mergeTrees(below, value) : value
  }
  return merged
}

/**
 * Merges layers, given from the weakest to the strongest. Sections merge key by key; a list replaces the whole list of
 * the weaker layers.
 */
export const mergeLayers = (layers: readonly Layer[]): Layer => {
  const strongestFirst = layers.toReversed()
  return {
    values: layers.reduce<Tree>((values, layer) => mergeTrees(values, layer.values), {}),
    problems: layers.flatMap((layer) => layer.problems),
    sourceOf: (path: Path) => {
      const key = keyOf(path)
      return strongestFirst.find((layer) => hasValue(layer, key))?.sourceOf(path) ?? "default"
    },
  }
}

const fillSection = (given: Tree, node: KeyNode): Tree => {
  const filled = [...node.children].map(([name, child]) => [name, fill(given[name], child)] as const)
  return Object.fromEntries(filled.filter(([, value]) => value !== undefined))
}

const fill = (given: unknown, node: KeyNode): unknown => {
  if (node.shape === "section") return fillSection(isTree(given) ? given : {}, node)
  const value = given === undefined ? node.fallback : given
  const { item } = node
  return Array.isArray(value) && item !== undefined ? value.map((each) => fill(each, item)) : value
}

/** `values` with the schema's default for each key that is absent, in list items too. */
export const effectiveValues = (values: Tree): Tree => fillSection(values, rootKey)
