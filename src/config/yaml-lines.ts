import { isAlias, isMap, isScalar, isSeq, type LineCounter } from "yaml"
import { type Path, pathText } from "./keys.ts"

/** Lines (from 1) of all keys and list items of a YAML document, by dotted path such as `a.b[0].c`. */
export const keyLines = (root: unknown, lines: LineCounter): ReadonlyMap<string, number> => {
  const found = new Map<string, number>()
  const note = (path: Path, node: unknown): void => {
    const start = isScalar(node) || isMap(node) || isSeq(node) || isAlias(node) ? node.range?.[0] : undefined
    if (start !== undefined) found.set(pathText(path), lines.linePos(start).line)
  }
  const visit = (node: unknown, path: Path): void => {
    if (isMap(node))
      for (const pair of node.items) {
        const below = [...path, isScalar(pair.key) ? String(pair.key.value) : String(pair.key)]
        note(below, pair.key)
        visit(pair.value, below)
      }
    else if (isSeq(node))
      node.items.forEach((item, index) => {
        note([...path, index], item)
        visit(item, [...path, index])
      })
  }
  visit(root, [])
  return found
}
