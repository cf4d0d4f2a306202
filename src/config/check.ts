import type { z } from "zod"
import { suggestion } from "../api/nearest.ts"
import { AppError } from "../errors.ts"
import { type KeyNode, keyAt, leafKeys, type Path, pathText } from "./keys.ts"
import { isTree, type Layer, type Problem } from "./layer.ts"
import { configSchema } from "./schema.ts"

const toPath = (path: readonly PropertyKey[]): Path => path.map((part) => (typeof part === "symbol" ? "" : part))

const valueAt = (root: unknown, path: Path): unknown => {
  let value = root
  for (const part of path) {
    if (Array.isArray(value) && typeof part === "number") value = value[part]
    else if (isTree(value) && Object.hasOwn(value, part)) value = value[part]
    else return undefined
  }
  return value
}

/** `, not "5 minutes"`: only single values of keys that are not secret, short, without a URL's password. */
const notThis = (value: unknown, node: KeyNode | undefined): string => {
  if (value === null) return ", not empty"
  if (Array.isArray(value)) return node?.allowed.includes("a list") ? "" : ", not a list"
  if (typeof value === "object") return ", not a map of keys"
  const printable = typeof value === "string" || typeof value === "number" || typeof value === "boolean"
  if (!printable || node === undefined || node.secret || node.shape !== "value") return ""
  const text = JSON.stringify(value).replace(/\/\/[^/@\s]*@/g, "//…@")
  return `, not ${text.length > 80 ? `${text.slice(0, 80)}…` : text}`
}

/** Keys that an unknown one may have meant: its neighbours, and its own name in other sections. */
const candidates = (name: string, parent: KeyNode | undefined): readonly string[] => {
  const elsewhere = [...leafKeys.keys()].filter((key) => key.endsWith(`.${name}`))
  return elsewhere.length > 0 ? elsewhere : [...(parent?.children.keys() ?? [])]
}

const unknownKey = (name: string, parent: Path, layer: Layer): Problem => {
  const path = [...parent, name]
  const found = candidates(name, keyAt(parent))
  const meant =
    found.length === 1 && found[0]?.endsWith(`.${name}`) ? `; did you mean ${found[0]}?` : suggestion(name, found)
  return { source: layer.sourceOf(path), key: pathText(path), message: `unknown key${meant}` }
}

/** The path of the key that says what may stand at `path`: of a value that is text or a list, an item has no key of its own. */
const describedPath = (path: Path): Path => {
  const above = path.slice(0, -1)
  return keyAt(path) === undefined && keyAt(above)?.shape === "value" ? above : path
}

const toProblems = (issue: z.core.$ZodIssue, layer: Layer): readonly Problem[] => {
  const path = describedPath(toPath(issue.path))
  if (issue.code === "unrecognized_keys") return issue.keys.map((name) => unknownKey(name, path, layer))
  const value = valueAt(layer.values, path)
  const node = keyAt(path)
  const rule = issue.message.startsWith("must ") ? issue.message : `must be ${node?.allowed ?? "another value"}`
  const message = value === undefined ? `is missing; it ${rule}` : `${rule}${notThis(value, node)}`
  return [{ source: layer.sourceOf(path), key: pathText(path), message }]
}

/** Everything that is wrong with one layer by itself. Every key can be absent, so each layer must be valid alone. */
export const checkLayer = (layer: Layer): readonly Problem[] => {
  const result = configSchema.safeParse(layer.values)
  const issues = result.success ? [] : result.error.issues.flatMap((issue) => toProblems(issue, layer))
  return [...layer.problems, ...issues].sort((left, right) =>
    left.source.localeCompare(right.source, "en", { numeric: true }),
  )
}

/** `reflow.yaml:12: kubernetes.idle_ttl: must be …`. */
export const problemText = (problem: Problem): string =>
  [problem.source, problem.key, problem.message].filter((part) => part !== "").join(": ")

/** One error that lists every problem with `subject`, a line each. */
export const configError = (problems: readonly Problem[], subject = "the configuration"): AppError => {
  const count = problems.length === 1 ? "A problem" : `${problems.length} problems`
  const lines = problems.map((problem) => `  ${problemText(problem)}`)
  return new AppError("ConfigInvalid", {
    detail: [`${count} in ${subject}:`, ...lines].join("\n"),
    data: { problems },
  })
}
