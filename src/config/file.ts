import { readFileSync, statSync } from "node:fs"
import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, parseAllDocuments, type YAMLError } from "yaml"
import { type KeyNode, type Path, pathText, rootKey } from "./key-tree.ts"
import { isTree, type Layer, nearestSource, type Problem } from "./layer.ts"

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

/** Largest YAML file that is read, bytes. */
export const maxFileBytes = 1024 * 1024

const failed = (file: string, message: string): Layer => ({
  values: {},
  problems: [{ source: file, key: "", message }],
  sourceOf: () => file,
})

const syntaxProblem = (error: YAMLError, text: string, file: string, lines: LineCounter): Problem => {
  const source = `${file}:${lines.linePos(error.pos[0]).line}`
  if (error.code !== "DUPLICATE_KEY") return { source, key: "", message: `is not valid YAML: ${error.message}` }
  const key = /^[\w.-]{1,64}/.exec(text.slice(error.pos[0]))?.[0] ?? ""
  return { source, key, message: "is given twice" }
}

/** A section whose keys are all commented out is null in YAML; it is taken as empty. */
const withoutEmptySections = (value: unknown, node: KeyNode | undefined): unknown => {
  if (node?.shape !== "section") return value
  if (value === null) return {}
  if (!isTree(value)) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, child]) => [name, withoutEmptySections(child, node.children.get(name))]),
  )
}

const valuesOf = (document: Document.Parsed): unknown => {
  try {
    return withoutEmptySections(document.toJS({ maxAliasCount: 100 }), rootKey)
  } catch {
    return undefined // an alias without an anchor, or more than 100 resolved aliases ("billion laughs")
  }
}

/** The layer of a configuration file's text. `file` is the name to put into messages. */
const parseFile = (text: string, file: string): Layer => {
  const lines = new LineCounter()
  const documents = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false, logLevel: "silent" })
  const [document, second] = Array.isArray(documents) ? documents : []
  if (document === undefined) return { values: {}, problems: [], sourceOf: () => file }
  if (second !== undefined) {
    const line = lines.linePos(second.range[0]).line
    return failed(`${file}:${line}`, "begins a second document: the file must have only one")
  }
  const broken = [...document.errors, ...document.warnings].map((each) => syntaxProblem(each, text, file, lines))
  if (broken.length > 0) return { values: {}, problems: broken, sourceOf: () => file }
  const values = valuesOf(document)
  if (!isTree(values))
    return failed(file, values === undefined ? "uses aliases that cannot be resolved" : "must be a map of keys")
  const places = [...keyLines(document.contents, lines)].map(([path, line]) => [path, `${file}:${line}`] as const)
  return { values, problems: [], sourceOf: nearestSource(new Map(places), file) }
}

/** Why a file cannot be read, as the end of a sentence whose subject is the file, e.g. `does not exist`. */
export const readProblem = (error: unknown): string => {
  const code = error instanceof Error && "code" in error ? String(error.code) : ""
  if (code === "ENOENT") return "does not exist"
  if (code === "EACCES" || code === "EPERM") return "may not be read by this user"
  if (code === "EISDIR") return "is a folder"
  return `cannot be read (${code === "" ? "unknown error" : code})`
}

/** The layer of the configuration file. A file that is not `required` may be absent. */
export const readConfigFile = (file: string, required: boolean): Layer => {
  try {
    const { size } = statSync(file)
    if (size > maxFileBytes) return failed(file, "is larger than 1 MiB")
    return parseFile(readFileSync(file, "utf8"), file)
  } catch (error) {
    const message = readProblem(error)
    if (!required && message === "does not exist") return { values: {}, problems: [], sourceOf: () => file }
    return failed(file, message)
  }
}
