import type { IncomingHttpHeaders } from "node:http"
import { AppError } from "../errors.ts"

/** Headers that say one thing, of those that are read of a server's answer. */
const single: readonly string[] = ["content-type", "location", "mcp-session-id", "retry-after"]

const oneOf = (name: string, values: readonly string[]): string => {
  const [first = ""] = values
  if (values.every((value) => value === first)) return first
  throw new AppError("UpstreamInvalid", {
    detail: `The server's answer has the header ${name} more than once, with different values.`,
    data: { phase: "head" },
  })
}

/**
 * The headers of an answer, each of them one text: equal repetitions of what says one thing are one, and repeated lists are
 * joined (RFC 9110 §5.3). Throws UpstreamInvalid for different values: who reads the first and who reads the last would
 * read two answers.
 */
export const singleHeaders = (headers: IncomingHttpHeaders): IncomingHttpHeaders => {
  if (!Object.values(headers).some(Array.isArray)) return headers
  const read: IncomingHttpHeaders = {}
  for (const [name, value] of Object.entries(headers)) {
    if (Array.isArray(value)) read[name] = single.includes(name) ? oneOf(name, value) : value.join(", ")
    else read[name] = value
  }
  return read
}
