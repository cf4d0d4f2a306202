import { z } from "zod"
import { durationPattern } from "../api/duration.ts"
import { envNamePattern } from "../api/kinds/container.ts"
import type { KubeObject, Rule } from "../api/kinds/kind.ts"
import { targetNamePattern } from "../api/names.ts"
import { suggestion } from "../api/nearest.ts"
import { problemOf } from "../api/problem.ts"
import { quantityPattern } from "../api/units.ts"
import { AppError, type ErrorCode, errorTable, toAppError } from "../errors.ts"
import { restName } from "./rest.ts"

/** A broken rule of a body: the field as a JSON Pointer (RFC 6901), and the rule. Never contains a value. */
export type FieldProblem = { readonly pointer: string; readonly detail: string }

/** An error response: a problem document (RFC 9457). */
type Problem = {
  readonly status: number
  readonly code: ErrorCode
  readonly headers: Readonly<Record<string, string>>
  readonly body: Readonly<Record<string, unknown>>
}

/**
 * The problem document of an error. The error's `data` becomes extension members. An error that is not an AppError
 * becomes `Internal`, without its message.
 */
export const toProblem = (thrown: unknown, requestId: string): Problem => {
  const error = toAppError(thrown)
  const { code, headers, retryAfterSeconds } = error
  return {
    status: errorTable[code].status,
    code,
    headers: {
      "content-type": "application/problem+json",
      ...(retryAfterSeconds === undefined ? {} : { "retry-after": String(Math.ceil(retryAfterSeconds)) }),
      ...headers,
    },
    body: problemOf(error, requestId),
  }
}

/** Maximum number of problems in a response. */
const maxProblems = 100
/** Maximum length of a name that a response repeats, in characters. */
const maxName = 64

/** Readable rules for known patterns, by the pattern's source. */
const forms: ReadonlyMap<string, string> = new Map([
  [durationPattern.source, "must be a duration such as 30s, 10m or 1h30m"],
  [targetNamePattern.source, "must be at most 40 characters of a-z, 0-9 and '-', beginning with a letter"],
  [envNamePattern.source, "must be letters, digits and '_', not beginning with a digit"],
  [quantityPattern.source, "must be a quantity such as 100m or 128Mi"],
])

/** What to do instead of a value that is often tried, by pointer and value. */
const hints: ReadonlyMap<string, string> = new Map([
  ["/transport_type sse", "for a server that speaks sse, let a target with stdio run the tool mcp-remote"],
])

const hintFor = (pointer: string, value: unknown): string => {
  const hint = typeof value === "string" && value.length <= maxName ? hints.get(`${pointer} ${value}`) : undefined
  return hint === undefined ? "" : `; ${hint}`
}

/** The JSON Pointer (RFC 6901) of a path; each name is cut at {@link maxName}. */
export const toPointer = (path: readonly PropertyKey[]): string =>
  path.map((part) => `/${String(part).slice(0, maxName).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("")

const valueAt = (root: unknown, path: readonly PropertyKey[]): unknown => {
  let value = root
  for (const part of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, part)) return undefined
    value = Reflect.get(value, part)
  }
  return value
}

const namesAt = (schema: z.ZodType, path: readonly PropertyKey[]): readonly string[] => {
  let at: unknown = schema
  for (const part of [...path, ""]) {
    while (at instanceof z.ZodOptional || at instanceof z.ZodDefault) at = at.def.innerType
    if (part === "") break
    if (at instanceof z.ZodArray) at = at.def.element
    else if (at instanceof z.ZodObject) at = at.shape[String(part)]
  }
  return at instanceof z.ZodObject ? Object.keys(at.shape) : []
}

const unit = (origin: string): string =>
  origin === "string" ? " characters" : origin === "array" || origin === "set" ? " entries" : ""

/** The kind's own words about a form, which begin like all rules here; else the pattern. */
const formRule = ({ message, pattern }: z.core.$ZodIssueInvalidStringFormat): string =>
  message.startsWith("must ") ? message : `must match ${pattern}`

const ruleOf = (issue: z.core.$ZodIssue): string => {
  switch (issue.code) {
    case "invalid_type":
      return `must be ${/^[aeiou]/.test(issue.expected) ? "an" : "a"} ${issue.expected}`
    case "too_big":
      return `must be at most ${issue.maximum}${unit(issue.origin)}`
    case "too_small":
      return issue.minimum === 1 && unit(issue.origin) !== ""
        ? "must not be empty"
        : `must be at least ${issue.minimum}${unit(issue.origin)}`
    case "invalid_value":
      return `must be one of ${issue.values.join(", ")}`
    case "invalid_format":
      return forms.get((issue.pattern ?? "").replace(/^\/|\/[a-z]*$/g, "")) ?? formRule(issue)
    default:
      return issue.message
  }
}

/** A field that its schema does not know, and the names of the fields that the schema knows at this place. */
type UnknownField = { readonly path: readonly PropertyKey[]; readonly known: readonly string[] }

/** Suggestions only for as many fields as a response lists: finding one takes longer than parsing the body. */
const unknownProblem = ({ path, known }: UnknownField, index: number): FieldProblem => ({
  pointer: toPointer(path),
  detail: `is not a field${index < maxProblems ? suggestion(String(path.at(-1)), known) : ""}`,
})

/** Joins the problems of the same field into one. */
const byField = (problems: readonly FieldProblem[]): readonly FieldProblem[] => {
  const details = new Map<string, Set<string>>()
  for (const { pointer, detail } of problems) {
    const known = details.get(pointer)
    if (known === undefined) details.set(pointer, new Set([detail]))
    else known.add(detail)
  }
  return [...details].map(([pointer, said]) => ({ pointer, detail: [...said].join("; ") }))
}

/** The error that lists the broken rules, each field once, at most {@link maxProblems} fields. */
export const validationFailed = (problems: readonly FieldProblem[]): AppError => {
  const errors = byField(problems)
  return new AppError("ValidationFailed", {
    detail: errors.length === 1 ? "One field is not valid." : `${errors.length} fields are not valid.`,
    data: { errors: errors.slice(0, maxProblems) },
  })
}

type Broken = UnknownField | z.core.$ZodIssue

/** True for zod's bounds of safe integers, which are of no use next to the field's own bounds. */
const isSafeRange = (issue: z.core.$ZodIssue): boolean =>
  (issue.code === "too_big" || issue.code === "too_small") && issue.origin === "int"

/** The issues of an error, without those of {@link isSafeRange} for fields that have another issue. */
const issuesOf = ({ issues }: z.ZodError): readonly z.core.$ZodIssue[] => {
  const own = new Set(issues.filter((each) => !isSafeRange(each)).map(({ path }) => toPointer(path)))
  return issues.filter((each) => !isSafeRange(each) || !own.has(toPointer(each.path)))
}

const brokenOf = (schema: z.ZodType, issue: z.core.$ZodIssue): readonly Broken[] => {
  if (issue.code !== "unrecognized_keys") return [issue]
  const known = namesAt(schema, issue.path)
  return issue.keys.map((key) => ({ path: [...issue.path, key], known }))
}

/** Parses a body with a schema. Throws `ValidationFailed` with one problem per field and without values. */
export const parseBody = <T>(schema: z.ZodType<T>, body: unknown): T => {
  const result = schema.safeParse(body)
  if (result.success) return result.data
  const broken = issuesOf(result.error).flatMap((issue) => brokenOf(schema, issue))
  throw validationFailed(
    broken.map((each, index) => {
      if ("known" in each) return unknownProblem(each, index)
      const [pointer, value] = [toPointer(each.path), valueAt(body, each.path)]
      const missing = each.path.length > 0 && value === undefined
      return { pointer, detail: missing ? "is required" : `${ruleOf(each)}${hintFor(pointer, value)}` }
    }),
  )
}

const unknownAt = (schema: z.ZodType, value: unknown, path: readonly string[]): readonly UnknownField[] => {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return []
  const known = namesAt(schema, path)
  return Object.entries(value).flatMap(([name, each]) => {
    const below = [...path, name]
    return known.length === 0 || known.includes(name) ? unknownAt(schema, each, below) : [{ path: below, known }]
  })
}

/** Problems for the fields of a partial body that the schema does not know. Elements of lists are not checked. */
export const unknownFields = (schema: z.ZodType, body: unknown): readonly FieldProblem[] =>
  unknownAt(schema, body, []).map(unknownProblem)

/** The rules of a kind that an object breaks, as an update of `old`, or as a new object without `old`. */
export const brokenRules = (rules: readonly Rule[], object: KubeObject, old?: KubeObject): readonly FieldProblem[] =>
  rules.flatMap((rule) => {
    const path = rule.path === "" ? [] : rule.path.split(".")
    const [value, before] = [valueAt(object, path), valueAt(old, path)]
    if (rule.cel.includes("oldSelf") && before === undefined) return []
    if (value === undefined || rule.holds(value, before)) return []
    const [, ...fields] = rule.field === undefined ? path : [...path, rule.field]
    return [{ pointer: toPointer(fields.map(restName)), detail: rule.message }]
  })

/** Converts problems with paths such as `credentials[0].name` to JSON Pointers under REST names. */
export const fromPaths = (
  problems: readonly { readonly path: string; readonly message: string }[],
): readonly FieldProblem[] =>
  problems.map(({ path, message }) => ({
    pointer: toPointer((path.match(/[^.[\]]+/g) ?? []).map(restName)),
    detail: message,
  }))
