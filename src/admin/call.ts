import { type MCPInstance, mcpInstanceKind } from "../api/kinds/mcp-instance.ts"
import { type FindPluginFaults, type MCPTarget, mcpTargetKind } from "../api/kinds/mcp-target.ts"
import { targetNamePattern } from "../api/names.ts"
import type { NeedleShare } from "../credentials/needle-share.ts"
import type { ScopeRef } from "../credentials/scopes.ts"
import { AppError } from "../errors.ts"
import type { Access } from "../identity/access.ts"
import type { Identity } from "../identity/identity.ts"
import type { AskStrategy } from "../identity/subject-key.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { ClusterPort, Reflection } from "../ports/cluster.ts"
import type { TrialPort } from "./trial-port.ts"

/** Dependencies of the handlers of the REST API. */
export type Deps = {
  readonly cluster: ClusterPort
  /** Namespace of targets, instances and their Secrets. */
  readonly namespace: string
  readonly targets: Reflection<MCPTarget>
  readonly instances: Reflection<MCPInstance>
  readonly access: Access
  readonly clock: ClockPort
  /** Calls the subject-key strategies of plugins; absent if no plugin is loaded. */
  readonly strategies?: AskStrategy
  /** Finds faults in a target's choices of plugins; absent if no plugin is loaded. */
  readonly pluginFaults?: FindPluginFaults
  /** Sends requests to servers, for the test of a target. */
  readonly trial: TrialPort
  /** Shares the search patterns of secret values, which are masked in logs. */
  readonly needles: NeedleShare
}

/** A call that the caller is permitted to make. */
export type Call = {
  readonly deps: Deps
  readonly identity: Identity
  /** True if the caller is an administrator. */
  readonly admin: boolean
  /** Decoded parameters of the path. */
  readonly params: Readonly<Record<string, string>>
  readonly query: URLSearchParams
  readonly headers: Headers
  /** Id of the request, also in the log. */
  readonly requestId: string
  /** Reads the body as JSON; undefined if there is none. Throws what {@link readJson} throws. */
  readonly body: () => Promise<unknown>
  /** Sets the credential scope that the call changes, for its line in the log. The last call counts. */
  readonly changes: (scope: ScopeRef) => void
  /** Aborted at the call's timeout. */
  readonly signal: AbortSignal
}

/** The response of a call; status 200 by default, no body with 204. `body` is sent as JSON, `text` as plain text. */
export type Answer = {
  /** An error that the response reports in its body; the error's cause is logged. */
  readonly error?: AppError
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: unknown
  readonly text?: string | ReadableStream<Uint8Array>
}

/** Handles one call. */
export type Handler = (call: Call) => Promise<Answer> | Answer

/** How long a response waits until the watch cache shows what the call wrote, in milliseconds. */
const catchUpMs = 2_000

/** Page size of a list call to the API server. */
const pageSize = 500

/** The error for a target that does not exist, or that the caller may not use: both look alike. */
export const targetNotFound = (name: string): AppError =>
  new AppError("TargetNotFound", { detail: `There is no target '${name.slice(0, 64)}' that you may use.` })

/**
 * The target that the path names, if the caller may use it. Administrators get the API server's current version, others
 * that of the watch cache. Throws the same `TargetNotFound` for unknown targets and for those the caller may not use.
 */
export const requireTarget = async ({ deps, identity, admin, params, signal }: Call): Promise<MCPTarget> => {
  const { id: name = "" } = params
  if (!targetNamePattern.test(name)) throw targetNotFound(name)
  const target = admin
    ? await deps.cluster.get(mcpTargetKind, { namespace: deps.namespace, name }, { signal })
    : deps.targets.get(name)
  if (target === undefined || !(admin || deps.access.mayUse(target, identity))) throw targetNotFound(name)
  return target
}

/** All instances of a target, read from the API server, without those that are being deleted. */
export const listInstancesOf = async ({ deps, signal }: Call, target: MCPTarget): Promise<readonly MCPInstance[]> => {
  const found: MCPInstance[] = []
  let token: string | undefined
  do {
    const selection = {
      namespace: deps.namespace,
      fieldSelector: `spec.targetName=${target.metadata.name}`,
      limit: pageSize,
      ...(token === undefined ? {} : { continue: token }),
    }
    const page = await deps.cluster.list(mcpInstanceKind, selection, { signal })
    found.push(...page.items)
    token = page.continue
  } while (token !== undefined)
  return found.filter(({ metadata }) => metadata.deletionTimestamp === undefined)
}

/**
 * Waits until the watch cache shows a write (`seen` returns true), so that the caller's next request sees it too.
 * Resolves after two seconds in any case, since the write itself has succeeded.
 */
export const caughtUp = <T>(reflection: Reflection<T>, clock: ClockPort, seen: () => boolean): Promise<void> => {
  if (seen()) return Promise.resolve()
  const { promise, resolve } = Promise.withResolvers<void>()
  const unsubscribe = reflection.subscribe(() => seen() && resolve())
  const cancel = clock.timer(catchUpMs, resolve)
  return promise.finally(() => {
    unsubscribe()
    cancel()
  })
}
