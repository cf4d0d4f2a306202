import { type KeyNode, type Path, rootKey } from "./keys.ts"
import { hasValue, isTree, type Layer, type Tree } from "./layer.ts"

const mergeTrees = (lower: Tree, upper: Tree): Tree => {
  const merged: Record<string, unknown> = { ...lower }
  for (const [key, value] of Object.entries(upper)) {
    const below = merged[key]
    merged[key] = isTree(below) && isTree(value) ? mergeTrees(below, value) : value
  }
  return merged
}

/** Layers from the weakest to the strongest as one. Sections merge key by key; a list replaces the whole list below it. */
export const mergeLayers = (layers: readonly Layer[]): Layer => {
  const strongestFirst = layers.toReversed()
  return {
    values: layers.reduce<Tree>((values, layer) => mergeTrees(values, layer.values), {}),
    problems: layers.flatMap((layer) => layer.problems),
    sourceOf: (path: Path) => {
      const key = path.slice(0, 2).filter((part) => typeof part === "string")
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

/** `values` with the schema's defaults wherever they say nothing, list items included. */
export const effectiveValues = (values: Tree): Tree => fillSection(values, rootKey)
