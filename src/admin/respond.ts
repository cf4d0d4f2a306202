import { randomUUID } from "node:crypto"
import type { H3Event } from "h3/node"
import type { ScopeRef } from "../credentials/scopes.ts"
import { hasCode, isAppError } from "../errors.ts"
import type { Authenticator } from "../identity/authenticate.ts"
import type { Identity } from "../identity/identity.ts"
import { createLogNames, type LogNames, sharerNamed } from "../identity/subject-key.ts"
import type { Budget } from "../intake/bodies.ts"
import type { TelemetryPort } from "../ports/telemetry.ts"
import type { Answer, Deps } from "./call.ts"
import { toProblem } from "./validation.ts"

/** Dependencies of the REST API. */
export type AdminOptions = Deps & {
  readonly authenticator: Authenticator
  /** Byte budget of request bodies, shared with MCP requests. */
  readonly bodies: Budget
  readonly telemetry: TelemetryPort
  /** How the log names users; default: by digest. */
  readonly logNames?: LogNames
}

/** Facts for the audit line of a request, collected while it is handled. */
type Facts = {
  identity?: Identity
  code?: string
  /** Why the caller's token was refused; never the token. */
  why?: string
  target?: string | undefined
  /** The credential scope that the call changes. */
  changed?: ScopeRef
}

/** A request that is being handled. */
export type Context = {
  readonly options: AdminOptions
  readonly event: H3Event
  readonly facts: Facts
  /** Id of the request, also in the log. */
  readonly requestId: string
}

/** The content of a response and its media type; null and no type if it has no body. */
const toContent = ({
  body,
  text,
}: Answer): { readonly content: string | ReadableStream<Uint8Array> | null; readonly type?: string } => {
  if (text !== undefined) return { content: text, type: "text/plain; charset=utf-8" }
  return body === undefined ? { content: null } : { content: `${JSON.stringify(body)}\n`, type: "application/json" }
}

const toResponse = (answer: Answer, { requestId, method }: { requestId: string; method: string }): Response => {
  const { content, type } = toContent(answer)
  const isUnread = method === "HEAD" && content instanceof ReadableStream
  if (isUnread) void content.cancel()
  return new Response(isUnread ? null : content, {
    status: answer.status ?? 200,
    headers: {
      ...(type === undefined ? {} : { "content-type": type }),
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      "x-request-id": requestId,
      ...answer.headers,
    },
  })
}

/** Log fields of the changed credential scope. They never contain a value. */
const changedFields = ({ scope, who }: ScopeRef, names: LogNames): Record<string, string> =>
  scope === "default" || who === undefined ? { scope } : { scope, whose: names.owner(sharerNamed(scope, who)) }

/** Maximum length of an error message in the audit line, in characters. */
const longestWhy = 300

/**
 * Creates the function that runs a call, turns errors into problem documents and writes the audit line. It never
 * rejects.
 */
export const createResponder = (options: AdminOptions) => {
  const { telemetry, clock, logNames: names = createLogNames("digest") } = options
  const requests = telemetry.counter({
    name: "reflow_api_requests_total",
    help: "Calls of the REST API, by call and HTTP status.",
    labels: ["call", "status"],
  })
  return async (event: H3Event, name: string, work: (context: Context) => Promise<Answer>): Promise<Response> => {
    const requestId = randomUUID()
    const started = clock.now()
    const facts: Facts = {}
    const answer = await work({ options, event, facts, requestId }).catch((error: unknown): Answer => {
      const problem = toProblem(error, requestId)
      facts.code = problem.code
      // for those who run the issuers; the reasons of other refusals concern only the caller
      if (hasCode(error, "Unauthenticated")) facts.why = error.message.slice(0, longestWhy)
      // the cluster's own message is only logged; the response does not contain it
      const isOurs = problem.status >= 500
      if (isOurs || (isAppError(error) && isAppError(error.cause)))
        telemetry.log[isOurs ? "warn" : "info"]("a call of the REST API failed", { request_id: requestId, error })
      return problem
    })
    // the same for an error that the call reports in a successful response
    if (isAppError(answer.error?.cause))
      telemetry.log.warn("a call of the REST API failed", { request_id: requestId, error: answer.error })
    const response = toResponse(answer, { requestId, method: event.req.method })
    const { identity, code, why, target, changed } = facts
    telemetry.log.info("api", {
      request_id: requestId,
      ...(identity === undefined ? {} : names.caller(identity)),
      call: name,
      ...(target === undefined ? {} : { target: target.slice(0, 64) }),
      ...(changed === undefined ? {} : changedFields(changed, names)),
      status: response.status,
      ...(code === undefined ? {} : { code }),
      ...(why === undefined ? {} : { why }),
      duration_ms: clock.now() - started,
    })
    requests.inc({ call: name, status: String(response.status) })
    return response
  }
}
