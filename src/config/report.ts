import { stringify } from "yaml"
import { configJsonSchema, type KeyNode, type Path, rootKey } from "./keys.ts"
import { isTree, type Layer, type Tree } from "./layer.ts"

/** Stands for a value that must not be shown. */
const mask = "***"

/** `value` with secrets masked. */
const masked = (value: unknown, node: KeyNode | undefined): unknown => {
  if (node?.secret === true) return mask
  if (Array.isArray(value)) return value.map((each) => masked(each, node?.item))
  if (!isTree(value)) return value
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, masked(each, node?.children.get(name))]))
}

const indented = (text: string, indent: string): string => text.replace(/^(?=.)/gm, indent)

const keyLines = (name: string, value: unknown, source: string): string => {
  const text = stringify(value, { lineWidth: 0 }).trimEnd()
  const isBlock = Array.isArray(value) && value.length > 0
  return isBlock ? `${name}: # ${source}\n${indented(text, "  ")}\n` : `${name}: ${text} # ${source}\n`
}

const section = (values: Tree, node: KeyNode, path: Path, sourceOf: Layer["sourceOf"]): string => {
  let text = ""
  for (const [name, child] of node.children) {
    const value = values[name]
    if (isTree(value)) text += `${name}:\n${indented(section(value, child, [...path, name], sourceOf), "  ")}`
    else text += keyLines(name, value, sourceOf([...path, name]))
  }
  return text
}

/** The effective configuration as YAML, each value with its source as a comment, secrets masked. */
export const configReport = (values: Tree, sourceOf: Layer["sourceOf"]): string => {
  const shown = masked(values, rootKey)
  return isTree(shown) ? section(shown, rootKey, [], sourceOf) : ""
}

/** The JSON Schema of the configuration file as text. */
export const schemaReport = (): string => `${JSON.stringify(configJsonSchema(), null, 2)}\n`
