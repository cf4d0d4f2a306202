import type { AppError, ErrorCode } from "../errors.ts"
import type { Known } from "./pipeline.ts"

/** What was decided on a request: `none` if it ended before anything was, e.g. because its body is no JSON. */
export type Decision = "allowed" | "denied" | "none"

/** Errors by which identity and policy refuse. */
const denials: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "Unauthenticated",
  "Forbidden",
  "TargetNotFound",
  "UnknownTool",
  "SubjectKeyDenied",
  "HostNotAllowed",
  "OriginNotAllowed",
])

/** What was decided on a request that came so far and, if so, failed with `error`. */
export const decisionOf = (known: Pick<Known, "messages">, error: AppError | undefined): Decision => {
  if (error !== undefined && denials.has(error.code)) return "denied"
  return known.messages === undefined ? "none" : "allowed"
}
