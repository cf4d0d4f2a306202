import { randomUUID } from "node:crypto"
import { H3, type H3Event } from "h3/node"
import { AppError, isAppError } from "../errors.ts"
import type { Authenticator } from "../identity/authenticate.ts"
import type { Identity } from "../identity/identity.ts"
import { subjectDigest } from "../identity/subject-key.ts"
import type { TelemetryPort } from "../ports/telemetry.ts"
import type { Answer, Call, Deps, Handler } from "./call.ts"
import { namedValues, ownValues } from "./env.ts"
import { listInstances, listTargetInstances } from "./instances.ts"
import { readJson } from "./json-body.ts"
import { type OperationName, operations } from "./operations.ts"
import { toProblem } from "./problem.ts"
import { restartInstances } from "./restart.ts"
import { createTarget, deleteTarget, getTarget, listTargets } from "./targets.ts"
import { whoami } from "./whoami.ts"

/** What the REST API is made of. */
export type AdminOptions = Deps & {
  readonly authenticator: Authenticator
  readonly telemetry: TelemetryPort
}

/** Longest time of a call, in milliseconds. */
const callMs = 30_000

const handlers: Readonly<Record<OperationName, Handler>> = {
  createTarget,
  listTargets,
  getTarget,
  deleteTarget,
  restartInstances,
  listTargetInstances,
  listInstances,
  getOwnValues: ownValues.get,
  setOwnValues: ownValues.set,
  deleteOwnValues: ownValues.remove,
  getDefaultValues: namedValues.get,
  setDefaultValues: namedValues.set,
  deleteDefaultValues: namedValues.remove,
  getValues: namedValues.get,
  setValues: namedValues.set,
  deleteValues: namedValues.remove,
  whoami,
}

const isOperation = (name: string): name is OperationName => Object.hasOwn(operations, name)
const names = Object.keys(operations).filter(isOperation)

/** The methods of each path; HEAD wherever there is GET. */
const methodsOf = (path: string): readonly string[] =>
  names
    .filter((name) => operations[name].path === path)
    .flatMap((name) => (operations[name].method === "GET" ? ["GET", "HEAD"] : [operations[name].method]))

const decodeParams = (params: Readonly<Record<string, string>> | undefined): Record<string, string> => {
  try {
    return Object.fromEntries(Object.entries(params ?? {}).map(([name, text]) => [name, decodeURIComponent(text)]))
  } catch (error) {
    throw new AppError("BadPath", { detail: "The path is not well encoded.", cause: error })
  }
}

/** What the audit line tells, as far as it is known. */
type Facts = { identity?: Identity; code?: string; target?: string | undefined }

type Context = {
  readonly options: AdminOptions
  readonly event: H3Event
  readonly facts: Facts
}

const identify = async ({ options, event, facts }: Context): Promise<Identity> => {
  const authorization = event.req.headers.get("authorization")
  const identity = await options.authenticator.authenticate({ authorization, purpose: "api", resource: "/api" })
  facts.identity = identity
  return identity
}

/** Does a permitted call, within its time. */
const run = async (context: Context, name: OperationName): Promise<Answer> => {
  const { options, event, facts } = context
  const identity = await identify(context)
  const params = decodeParams(event.context.params)
  facts.target = params.id
  const admin = options.access.isAdmin(identity)
  if (operations[name].who === "admin" && !admin)
    throw new AppError("Forbidden", { detail: "This call is for administrators only." })
  const signal = AbortSignal.timeout(callMs)
  const { searchParams: query } = event.url
  const call: Call = { deps: options, identity, admin, params, query, signal, body: () => readJson(event.req) }
  try {
    return await handlers[name](call)
  } catch (error) {
    if (!signal.aborted || error !== signal.reason) throw error
    throw new AppError("ClusterUnavailable", { detail: "The cluster did not answer in time.", cause: error })
  }
}

/** Nothing of an unknown path shows to strangers, not even that it is unknown. */
const refuse = async (context: Context, allow: readonly string[]): Promise<Answer> => {
  await identify(context)
  if (allow.length === 0) throw new AppError("RouteNotFound", { detail: "The REST API has no such path." })
  throw new AppError("MethodNotAllowed", {
    detail: `This path takes ${allow.join(", ")}.`,
    headers: { allow: allow.join(", ") },
  })
}

const toResponse = ({ status = 200, headers, body }: Answer, requestId: string): Response =>
  new Response(body === undefined ? null : `${JSON.stringify(body)}\n`, {
    status,
    headers: {
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      "x-request-id": requestId,
      ...headers,
    },
  })

/** Answers one request, whatever happens, and writes its audit line. */
const createResponder = (options: AdminOptions) => {
  const { telemetry, clock } = options
  const requests = telemetry.counter({
    name: "reflow_api_requests_total",
    help: "Calls of the REST API, by call and HTTP status.",
    labels: ["call", "status"],
  })
  return async (event: H3Event, name: string, work: (context: Context) => Promise<Answer>): Promise<Response> => {
    const requestId = randomUUID()
    const started = clock.now()
    const facts: Facts = {}
    const answer = await work({ options, event, facts }).catch((error: unknown): Answer => {
      const problem = toProblem(error, requestId)
      facts.code = problem.code
      // what the cluster said is for whoever runs the platform; the caller got our own words
      if (problem.status >= 500 || (isAppError(error) && isAppError(error.cause)))
        telemetry.log.warn("a call of the REST API failed", { request_id: requestId, error })
      return problem
    })
    const response = toResponse(answer, requestId)
    const { identity, code, target } = facts
    telemetry.log.info("api", {
      request_id: requestId,
      ...(identity === undefined ? {} : { subject: subjectDigest(identity) }),
      call: name,
      ...(target === undefined ? {} : { target: target.slice(0, 64) }),
      status: response.status,
      ...(code === undefined ? {} : { code }),
      duration_ms: clock.now() - started,
    })
    requests.inc({ call: name, status: String(response.status) })
    return response
  }
}

/**
 * Makes the REST API over targets, credentials and instances: an h3 app that answers everything below /api. Every call needs a token for the purpose `api`; every
 * error is a problem document.
 */
export const createAdmin = (options: AdminOptions): H3 => {
  const respond = createResponder(options)
  const malformed = (event: H3Event) =>
    respond(event, "none", () => Promise.reject(new AppError("BadPath", { detail: "The path is not well encoded." })))
  const app = new H3({ silent: true, onError: (_error, event) => malformed(event) })
  for (const name of names) {
    const { path, method } = operations[name]
    for (const each of method === "GET" ? (["GET", "HEAD"] as const) : [method])
      app.on(each, `/api${path}`, (event) => respond(event, name, (context) => run(context, name)))
  }
  for (const path of new Set(names.map((each) => operations[each].path)))
    app.all(`/api${path}`, (event) => respond(event, "none", (context) => refuse(context, methodsOf(path))))
  app.all("/**", (event) => respond(event, "none", (context) => refuse(context, [])))
  return app
}
