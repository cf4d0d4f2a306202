import type { MCPInstance } from "../api/kinds/mcp-instance.ts"
import type { MCPTarget } from "../api/kinds/mcp-target.ts"
import type { Identity } from "../identity/identity.ts"
import { sharerKey, sharerOf } from "../identity/subject-key.ts"

/**
 * Who may make a call. `admin`: administrators only. `usable`: every caller with a token, for targets that they may
 * use. `own`: every caller with a token, for their own instances, values and identity. Administrators may access all
 * objects.
 */
type Right = "admin" | "usable" | "own"

/** A call of the REST API: its route, rights and limits. */
export type Operation = {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE"
  /** Below /api; `:name` is one segment, `**:name` all that follow. */
  readonly path: string
  readonly who: Right
  /** Allowed query parameters; default none. */
  readonly query?: readonly string[]
  /** Media type of its body; default application/json. */
  readonly takes?: "application/merge-patch+json"
  /** Timeout in seconds; default 30. */
  readonly seconds?: number
}

const mergePatch = "application/merge-patch+json" as const
const paged = ["limit", "continue"] as const

/** All calls of the REST API, by operationId. */
export const operations = {
  getDocument: { method: "GET", path: "/openapi.json", who: "usable" },
  createTarget: { method: "POST", path: "/targets", who: "admin" },
  listTargets: { method: "GET", path: "/targets", who: "usable", query: paged },
  getTarget: { method: "GET", path: "/targets/:id", who: "usable" },
  replaceTarget: { method: "PUT", path: "/targets/:id", who: "admin", query: ["force"] },
  patchTarget: {
    method: "PATCH",
    path: "/targets/:id",
    who: "admin",
    query: ["force"],
    takes: mergePatch,
  },
  deleteTarget: { method: "DELETE", path: "/targets/:id", who: "admin" },
  restartInstances: { method: "POST", path: "/targets/:id/restart-instances", who: "admin" },
  testTarget: { method: "POST", path: "/targets/:id/test", who: "usable", seconds: 90 },
  listTargetInstances: { method: "GET", path: "/targets/:id/instances", who: "own", query: paged },
  listInstances: { method: "GET", path: "/instances", who: "own", query: paged },
  getInstance: { method: "GET", path: "/instances/:name", who: "own" },
  deleteInstance: { method: "DELETE", path: "/instances/:name", who: "own" },
  instanceLogs: {
    method: "GET",
    path: "/instances/:name/logs",
    who: "own",
    query: ["tail", "follow", "previous", "installer"],
  },
  getOwnValues: { method: "GET", path: "/targets/:id/env/me", who: "own" },
  setOwnValues: { method: "PUT", path: "/targets/:id/env/me", who: "own" },
  patchOwnValues: { method: "PATCH", path: "/targets/:id/env/me", who: "own", takes: mergePatch },
  deleteOwnValues: { method: "DELETE", path: "/targets/:id/env/me", who: "own" },
  getDefaultValues: { method: "GET", path: "/targets/:id/env/:scope", who: "admin" },
  setDefaultValues: { method: "PUT", path: "/targets/:id/env/:scope", who: "admin" },
  patchDefaultValues: { method: "PATCH", path: "/targets/:id/env/:scope", who: "admin", takes: mergePatch },
  deleteDefaultValues: { method: "DELETE", path: "/targets/:id/env/:scope", who: "admin" },
  getValues: { method: "GET", path: "/targets/:id/env/:scope/**:who", who: "admin" },
  setValues: { method: "PUT", path: "/targets/:id/env/:scope/**:who", who: "admin" },
  patchValues: { method: "PATCH", path: "/targets/:id/env/:scope/**:who", who: "admin", takes: mergePatch },
  deleteValues: { method: "DELETE", path: "/targets/:id/env/:scope/**:who", who: "admin" },
  whoami: { method: "GET", path: "/whoami", who: "own", query: paged },
} as const satisfies Readonly<Record<string, Operation>>

/** Name of a call of the REST API. */
export type OperationName = keyof typeof operations

/** True if `name` is the name of a call. */
export const isOperation = (name: string): name is OperationName => Object.hasOwn(operations, name)

/** A call of the REST API by its name. */
export const operation = (name: OperationName): Operation => operations[name]

/** The fields of a target that its users see; administrators see all. */
export const publicTargetFields: readonly string[] = [
  "transportType",
  "statefulness",
  "isolationBoundary",
  "requiredScopes",
  "credentials",
  "paused",
]

/** True if only the caller uses the instance: it has the caller's subject key, and its target is per_user. */
export const isOwnInstance = (target: MCPTarget, instance: MCPInstance, identity: Identity): boolean => {
  const { isolationBoundary, subjectKey } = target.spec
  if (isolationBoundary !== "per_user" || subjectKey !== undefined || identity.subject === "") return false
  return sharerKey(sharerOf(target, identity, [])) === instance.spec.subjectKey
}
