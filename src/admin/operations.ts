import type { MCPInstance } from "../api/mcp-instance.ts"
import type { MCPTarget } from "../api/mcp-target.ts"
import type { Identity } from "../identity/identity.ts"
import { sharerKey, sharerOf } from "../identity/subject-key.ts"

/**
 * Who may make a call: `admin`, or everybody with a token, who then sees `usable` targets or their `own` instances,
 * values and identity only. Administrators see all.
 */
export type Right = "admin" | "usable" | "own"

type Operation = {
  readonly method: "GET" | "POST" | "PUT" | "DELETE"
  /** Below /api; `:name` is one segment, `**:name` all that follow. */
  readonly path: string
  readonly who: Right
}

/** Every call of the REST API, and who may make it. */
export const operations = {
  createTarget: { method: "POST", path: "/targets", who: "admin" },
  listTargets: { method: "GET", path: "/targets", who: "usable" },
  getTarget: { method: "GET", path: "/targets/:id", who: "usable" },
  deleteTarget: { method: "DELETE", path: "/targets/:id", who: "admin" },
  restartInstances: { method: "POST", path: "/targets/:id/restart-instances", who: "admin" },
  listTargetInstances: { method: "GET", path: "/targets/:id/instances", who: "own" },
  listInstances: { method: "GET", path: "/instances", who: "own" },
  getOwnValues: { method: "GET", path: "/targets/:id/env/me", who: "own" },
  setOwnValues: { method: "PUT", path: "/targets/:id/env/me", who: "own" },
  deleteOwnValues: { method: "DELETE", path: "/targets/:id/env/me", who: "own" },
  getDefaultValues: { method: "GET", path: "/targets/:id/env/:scope", who: "admin" },
  setDefaultValues: { method: "PUT", path: "/targets/:id/env/:scope", who: "admin" },
  deleteDefaultValues: { method: "DELETE", path: "/targets/:id/env/:scope", who: "admin" },
  getValues: { method: "GET", path: "/targets/:id/env/:scope/**:who", who: "admin" },
  setValues: { method: "PUT", path: "/targets/:id/env/:scope/**:who", who: "admin" },
  deleteValues: { method: "DELETE", path: "/targets/:id/env/:scope/**:who", who: "admin" },
  whoami: { method: "GET", path: "/whoami", who: "own" },
} as const satisfies Readonly<Record<string, Operation>>

/** Name of a call of the REST API. */
export type OperationName = keyof typeof operations

/** The fields of a target that those see who may use it; administrators see all. */
export const publicTargetFields: readonly string[] = [
  "transportType",
  "statefulness",
  "isolationBoundary",
  "requiredScopes",
  "credentials",
  "paused",
]

/** True if the instance is the caller's alone: that of a per-user target, for their own subject key. */
export const isOwnInstance = (target: MCPTarget, instance: MCPInstance, identity: Identity): boolean => {
  const { isolationBoundary, subjectKey } = target.spec
  if (isolationBoundary !== "per_user" || subjectKey !== undefined || identity.subject === "") return false
  return sharerKey(sharerOf(target, identity, [])) === instance.spec.subjectKey
}
