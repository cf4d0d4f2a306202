import { H3, type H3Event } from "h3/node"
import { AppError } from "../errors.ts"
import { type Identity, ownerOf } from "../identity/identity.ts"
import type { Holding } from "../intake/bodies.ts"
import type { Answer, Call, Handler } from "./call.ts"
import { patchTarget, replaceTarget } from "./change-target.ts"
import { createTarget } from "./create-target.ts"
import { makeDocument } from "./document.ts"
import { namedValues, ownValues } from "./env.ts"
import { deleteInstance, getInstance, listInstances, listTargetInstances } from "./instances.ts"
import { readJson } from "./json-body.ts"
import { instanceLogs } from "./logs.ts"
import { isOperation, type OperationName, operation, operations } from "./operations.ts"
import { checkQuery } from "./page.ts"
import { type AdminOptions, type Context, createResponder } from "./respond.ts"
import { restartInstances } from "./restart.ts"
import { deleteTarget, getTarget, listTargets } from "./targets.ts"
import { testTarget } from "./trial.ts"
import { whoami } from "./who.ts"

/** Timeout of a call in seconds, unless its {@link Operation} has another one. */
const callSeconds = 30

/** GET /api/openapi.json */
const getDocument: Handler = () => ({ body: makeDocument() })

const handlers: Readonly<Record<OperationName, Handler>> = {
  getDocument,
  createTarget,
  listTargets,
  getTarget,
  replaceTarget,
  patchTarget,
  deleteTarget,
  restartInstances,
  testTarget,
  listTargetInstances,
  listInstances,
  getInstance,
  deleteInstance,
  instanceLogs,
  getOwnValues: ownValues.get,
  setOwnValues: ownValues.set,
  patchOwnValues: ownValues.change,
  deleteOwnValues: ownValues.remove,
  getDefaultValues: namedValues.get,
  setDefaultValues: namedValues.set,
  patchDefaultValues: namedValues.change,
  deleteDefaultValues: namedValues.remove,
  getValues: namedValues.get,
  setValues: namedValues.set,
  patchValues: namedValues.change,
  deleteValues: namedValues.remove,
  whoami,
}

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

const identify = async ({ options, event, facts }: Context): Promise<Identity> => {
  const authorization = event.req.headers.get("authorization")
  const identity = await options.authenticator.authenticate({ authorization, purpose: "api", resource: "/api" })
  facts.identity = identity
  return identity
}

/** Builds the call of a request. Throws Forbidden, InvalidParams and BadPath. */
const toCall = (context: Context, name: OperationName, identity: Identity, holding: Holding): Call => {
  const { options, event, facts, requestId } = context
  const params = decodeParams(event.context.params)
  facts.target = params.id
  const admin = options.access.isAdmin(identity)
  const { who, query: known = [], takes, seconds = callSeconds } = operation(name)
  if (who === "admin" && !admin) throw new AppError("Forbidden", { detail: "This call is for administrators only." })
  const { searchParams: query } = event.url
  checkQuery(query, known)
  const signal = AbortSignal.timeout(seconds * 1_000)
  const { headers } = event.req
  const owner = ownerOf(identity)
  const take = (bytes: number): boolean => holding.take(owner, bytes)
  const body = () => readJson(event.req, { take, clock: options.clock }, takes)
  const changes: Call["changes"] = (scope) => {
    facts.changed = scope
  }
  return { deps: options, identity, admin, params, query, headers, signal, requestId, body, changes }
}

/**
 * Authenticates and authorizes a request, then runs its handler. Throws ClusterUnavailable after the call's timeout.
 */
const run = async (context: Context, name: OperationName): Promise<Answer> => {
  const identity = await identify(context)
  const holding = context.options.bodies.open()
  try {
    const call = toCall(context, name, identity, holding)
    try {
      return await handlers[name](call)
    } catch (error) {
      if (!call.signal.aborted || error !== call.signal.reason) throw error
      throw new AppError("ClusterUnavailable", { detail: "The cluster did not answer in time.", cause: error })
    }
  } finally {
    holding.end()
  }
}

/** Refuses an unknown path or method. Authentication comes first, so that without a token all paths look alike. */
const refuse = async (context: Context, allow: readonly string[]): Promise<Answer> => {
  await identify(context)
  if (allow.length === 0) throw new AppError("RouteNotFound", { detail: "The REST API has no such path." })
  throw new AppError("MethodNotAllowed", {
    detail: `This path takes ${allow.join(", ")}.`,
    headers: { allow: allow.join(", ") },
  })
}

/**
 * Creates the REST API for targets, credentials and instances: an h3 app that answers every path below /api. Every call
 * needs a token for the purpose `api`. Every error is a problem document (RFC 9457).
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
