import { readdirSync, readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { type Document, LineCounter, parseAllDocuments } from "yaml"
import { keyLines, maxFileBytes, readProblem } from "../../config/file.ts"
import { isTree, type Problem, type Tree } from "../../config/layer.ts"

/** A YAML document of a file, as `kubectl apply` would read it. */
export type Manifest = {
  /** Name of the document in messages, e.g. `document 2 (MCPTarget notes)`. */
  readonly label: string
  readonly values: Tree
  /** `file:line` of a field, given by its path; of the document's beginning if it has no such field. */
  readonly sourceOf: (path: string) => string
}

/** Maximum number of files that are read from a folder. */
const maxFiles = 1_000

/** The path itself for a file; for a folder its .yaml, .yml and .json files, in the order of their names. */
const filesOf = (path: string): readonly string[] => {
  if (!statSync(path).isDirectory()) return [path]
  const names = readdirSync(path).filter((name) => /\.(ya?ml|json)$/.test(name))
  return names
    .sort()
    .slice(0, maxFiles)
    .map((name) => join(path, name))
}

const text = (value: unknown, absent: string): string => (typeof value === "string" && value !== "" ? value : absent)

const toManifest = (document: Document.Parsed, key: string, file: string, lines: LineCounter): Manifest | Problem => {
  const at = (offset: number) => `${file}:${lines.linePos(offset).line}`
  const [error] = [...document.errors, ...document.warnings]
  if (error !== undefined) return { source: at(error.pos[0]), key, message: `is not valid YAML: ${error.message}` }
  const start = at(document.contents?.range[0] ?? document.range[0])
  const values: unknown = document.toJS({ maxAliasCount: 100 })
  if (!isTree(values)) return { source: start, key, message: "is not an object" }
  const metadata = isTree(values.metadata) ? values.metadata : {}
  const found = keyLines(document.contents, lines)
  return {
    label: `${key} (${text(values.kind, "no kind")} ${text(metadata.name, "without a name")})`,
    values,
    sourceOf: (path) => (found.has(path) ? `${file}:${found.get(path)}` : start),
  }
}

const readFile = (file: string): readonly (Manifest | Problem)[] => {
  if (statSync(file).size > maxFileBytes) return [{ source: file, key: "", message: "is larger than 1 MiB" }]
  const lines = new LineCounter()
  const options = { lineCounter: lines, prettyErrors: false, logLevel: "silent" } as const
  const documents = parseAllDocuments(readFileSync(file, "utf8"), options)
  if (!Array.isArray(documents)) return []
  return documents.flatMap((document, index) => {
    const isEmpty = document.errors.length === 0 && document.toJS() === null
    return isEmpty ? [] : [toManifest(document, `document ${index + 1}`, file, lines)]
  })
}

const guarded = <T>(path: string, read: () => readonly T[]): readonly (T | Problem)[] => {
  try {
    return read()
  } catch (error) {
    return [{ source: path, key: "", message: readProblem(error) }]
  }
}

const isProblem = (value: Manifest | Problem | string): value is Problem =>
  typeof value === "object" && "message" in value

/** Reads all documents of the files and folders. What cannot be read is a problem; never throws for a file. */
export const readManifests = (
  paths: readonly string[],
): { readonly manifests: readonly Manifest[]; readonly problems: readonly Problem[] } => {
  const files = paths.flatMap((path) => guarded(path, () => filesOf(path)))
  const read = files.flatMap((file) => (isProblem(file) ? [file] : guarded(file, () => readFile(file))))
  return {
    manifests: read.filter((each): each is Manifest => !isProblem(each)),
    problems: read.filter(isProblem),
  }
}
