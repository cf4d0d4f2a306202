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

/** What the calls of the REST API work with. */
export type Deps = {
  readonly cluster: ClusterPort
  /** Namespace of targets, instances and their Secrets. */
  readonly namespace: string
  readonly targets: Reflection<MCPTarget>
  readonly instances: Reflection<MCPInstance>
  readonly access: Access
  readonly clock: ClockPort
  /** Asks the plugins for subject keys; absent while none is loaded. */
  readonly strategies?: AskStrategy
  /** What a target's choices of plugins are wrong about; absent while none is loaded. */
  readonly pluginFaults?: FindPluginFaults
  /** Reaches servers, to test them. */
  readonly trial: TrialPort
  /** What is masked in logs. */
  readonly needles: NeedleShare
}

/** One permitted call. */
export type Call = {
  readonly deps: Deps
  readonly identity: Identity
  /** True if the caller administers. */
  readonly admin: boolean
  /** Decoded parameters of the path. */
  readonly params: Readonly<Record<string, string>>
  readonly query: URLSearchParams
  readonly headers: Headers
  /** Id of the request, also in the log. */
  readonly requestId: string
  /** Reads the body as JSON; undefined if there is none. */
  readonly body: () => Promise<unknown>
  /** Says whose values the call changes, for its line in the log. The last word counts. */
  readonly changes: (scope: ScopeRef) => void
  /** Aborted when the call has taken too long. */
  readonly signal: AbortSignal
}

/** What a call answers; status 200 by default, no body with 204. `body` is sent as JSON, `text` as plain text. */
export type Answer = {
  /** What the answer tells of, if that is an error: what caused it goes to the log. */
  readonly error?: AppError
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: unknown
  readonly text?: string | ReadableStream<Uint8Array>
}

/** Does one call. */
export type Handler = (call: Call) => Promise<Answer> | Answer

/** How long an answer waits for the local copy to show what the call wrote, in milliseconds. */
const catchUpMs = 2_000

/** Instances listed at once. */
const pageSize = 500

/** The error for a target that is not there, or not for the caller. */
export const targetNotFound = (name: string): AppError =>
  new AppError("TargetNotFound", { detail: `There is no target '${name.slice(0, 64)}' that you may use.` })

/**
 * The target that the path names, if the caller may use it; administrators get what the API server has now. Throws
 * `TargetNotFound`, alike for unknown and for invisible targets.
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

/** All instances of a target as the API server has them now, without those that are being deleted. */
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
 * Waits until the local copy shows what was written, so that the caller's next request meets it. Gives up silently
 * after two seconds: the write has happened anyway.
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
