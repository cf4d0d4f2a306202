import type { IncomingMessage } from "node:http"
import { AppError } from "../errors.ts"

/** Headers that say one thing, of those that we read. Host has a rule of its own: see guard.ts. */
const single: readonly string[] = [
  "authorization",
  "content-type",
  "content-encoding",
  "origin",
  "last-event-id",
  "mcp-protocol-version",
  "mcp-session-id",
  "mcp-method",
  "mcp-name",
]
const paramPrefix = "mcp-param-"

/** Of these a proxy may have joined repetitions to one line: no value of them has a comma. */
const withoutComma: readonly string[] = ["mcp-protocol-version", "mcp-session-id", "mcp-method"]

const differing = (name: string): AppError =>
  new AppError("RepeatedHeader", { detail: `The header ${name} is there more than once, with different values.` })

/** The one value of several; throws RepeatedHeader if they differ. */
const oneOf = (name: string, values: readonly string[]): string => {
  const [first = ""] = values
  if (values.some((value) => value !== first)) throw differing(name)
  return first
}

const countOf = (headers: object): number => {
  let count = 0
  for (const _ in headers) count++
  return count
}

/** The names and values as they came, of the given names the first only. */
const onlyFirst = (rawHeaders: readonly string[], names: ReadonlySet<string>): string[] => {
  const kept: string[] = []
  const seen = new Set<string>()
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const [name = "", value = ""] = [rawHeaders[at], rawHeaders[at + 1]]
    const key = name.toLowerCase()
    if (!names.has(key) || !seen.has(key)) kept.push(name, value)
    seen.add(key)
  }
  return kept
}

/**
 * Makes one of each header that a client repeats with equal values, as some do with each of their requests. Node keeps the
 * first of some and joins others: what is read must not depend on that. Throws RepeatedHeader for different values.
 */
export const collapseRepeated = (request: IncomingMessage): void => {
  const { headers, rawHeaders } = request
  for (const name of withoutComma) {
    const value = headers[name]
    if (typeof value === "string" && value.includes(",")) headers[name] = oneOf(name, value.split(/, ?/))
  }
  if (countOf(headers) * 2 === rawHeaders.length) return
  const collapsed = new Set<string>()
  for (const [name, values = []] of Object.entries(request.headersDistinct))
    if (values.length > 1 && (single.includes(name) || name.startsWith(paramPrefix))) {
      headers[name] = oneOf(name, values)
      collapsed.add(name)
    }
  // the REST API reads some of them as they came
  if (collapsed.size > 0) request.rawHeaders = onlyFirst(rawHeaders, collapsed)
}
