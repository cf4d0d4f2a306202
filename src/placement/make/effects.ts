import { type MCPInstance, mcpInstanceKind } from "../../api/kinds/mcp-instance.ts"
import type { MCPTarget } from "../../api/kinds/mcp-target.ts"
import type { Compose } from "../../credentials/compose.ts"
import type { NeedleShare } from "../../credentials/needle-share.ts"
import { type AppError, hasCode } from "../../errors.ts"
import { readableSubject } from "../../identity/subject-key.ts"
import type { ClockPort } from "../../ports/clock.ts"
import type { ClusterPort, Reflection } from "../../ports/cluster.ts"
import type { Logger } from "../../ports/telemetry.ts"
import { createSingleFlight } from "../../waiting/single-flight.ts"
import type { Failure } from "../decide.ts"
import { toInstanceFailed } from "../explain-failure.ts"
import type { InstanceView } from "../know/instance-view.ts"
import type { PlacementRequest } from "../port.ts"
import { nameConflict, refusal } from "../refusals.ts"
import type { WriteNotice } from "../use/drain-notice.ts"
import type { InstanceId, WriteMark, Written } from "../use/in-use.ts"
import type { WriteStamp } from "../use/last-used.ts"
import { ensureStillOpen, type Seat } from "../visit.ts"
import { createInstance, type Made } from "./create.ts"
import { createCreationTurns } from "./creation-turns.ts"

/** What placement changes in the cluster. */
export type Effects = {
  /**
   * Creates the instance. Parallel calls for one name share one creation, which goes on if the first request is
   * cancelled. Resolves with the instance, which another gateway may have created. Rejects with the error for all
   * requests that wait for it.
   */
  create(request: PlacementRequest, seat: Seat): Promise<Made>
  /** Asks the operator for a restart with a drain. Parallel calls for one instance share one write. */
  restart(instance: MCPInstance): Promise<void>
  /**
   * The error with the reason why the instance cannot run. Calls for the same failure within 5 s return the same error.
   */
  failure(instance: MCPInstance, failure: Failure, request: PlacementRequest): Promise<AppError>
  /** The error for an instance of another sharer or target; also records an Event on the instance. */
  conflict(instance: MCPInstance): AppError
  /** Sets or removes this gateway's in-use mark and sets `lastUsedTime`, in one write; see use/in-use.ts. */
  readonly writeMark: WriteMark
  /** Sets `lastUsedTime`; see use/last-used.ts. */
  readonly writeStamp: WriteStamp
  /** Acknowledges a drain in `drainSeenBy`; see use/drain-notice.ts. */
  readonly writeNotice: WriteNotice
}

/** Dependencies of the effects. */
type EffectDeps = {
  readonly cluster: ClusterPort
  readonly namespace: string
  readonly compose: Compose
  readonly needles: NeedleShare
  readonly clock: ClockPort
  readonly log: Logger
  readonly view: InstanceView
  readonly targets: Pick<Reflection<MCPTarget>, "get">
  /** This gateway's name in `inUseBy`. */
  readonly replica: string
  readonly issuers: readonly string[]
  readonly exposeSubjects: boolean
  /** Ends the effects when placement closes. */
  readonly signal: AbortSignal
}

/** How long the error of one failure is repeated before its log is read again. */
const failureMs = 5_000

/** Asks the API server after a conflict: another instance can have the name, or many writes met. */
const isStillThere = async (view: InstanceView, { name, uid }: InstanceId): Promise<boolean> => {
  try {
    return (await view.confirm(name))?.metadata.uid === uid
  } catch {
    // what cannot be read is not known to be gone
    return true
  }
}

const useWriter = (deps: EffectDeps) => {
  const { cluster, namespace, view, log } = deps
  return async ({ name, uid }: InstanceId, status: Readonly<Record<string, unknown>>): Promise<Written> => {
    // the API server may write a status patch before it checks the uid: so do not patch if a newer object of the name
    // is known
    if ((view.get(name)?.metadata.uid ?? uid) !== uid) return "gone"
    try {
      const patch = { metadata: { uid }, status }
      view.learn(await cluster.patchStatus(mcpInstanceKind, { namespace, name }, patch))
      return "written"
    } catch (error) {
      if (hasCode(error, "ApiNotFound")) view.learnDeleted(name, uid)
      else if (!hasCode(error, "ApiConflict") || (await isStillThere(view, { name, uid }))) {
        log.warn("use of an instance could not be recorded", { instance: name, error })
        return "failed"
      }
      return "gone"
    }
  }
}

const createFailures = (deps: EffectDeps): Effects["failure"] => {
  const recent = new Map<string, { readonly at: number; readonly error: Promise<AppError> }>()
  return (instance, failure, { target }) => {
    const now = deps.clock.now()
    for (const [key, { at }] of recent) if (now - at > failureMs) recent.delete(key)
    const { uid = "" } = instance.metadata
    const { starts = 0, restarts = 0 } = instance.status ?? {}
    const key = [uid, starts, restarts, failure.reason, failure.message].join("\n")
    const known = recent.get(key)
    if (known !== undefined) return known.error
    const own = target.spec.isolationBoundary === "per_user" && target.spec.subjectKey === undefined
    const error = toInstanceFailed(deps, instance, failure, { withLog: own, signal: deps.signal })
    recent.set(key, { at: now, error })
    return error
  }
}

const createConflicts = (deps: EffectDeps): Effects["conflict"] => {
  const { cluster, log } = deps
  return (instance) => {
    const { name } = instance.metadata
    const note = "Another sharer or target needs this name: delete the object, or delete and re-create the target."
    const event = { regarding: instance, type: "Warning", reason: "NameConflict", note } as const
    void cluster
      .recordEvent(event, { signal: deps.signal })
      .catch((error) => log.warn("an event could not be written", { instance: name, error }))
    return nameConflict(name)
  }
}

/** Makes the effects. */
export const createEffects = (deps: EffectDeps): Effects => {
  const { cluster, namespace, clock, view, replica, signal } = deps
  const creating = createSingleFlight<Made>()
  const turns = createCreationTurns({ clock })
  const restarting = createSingleFlight<void>()
  const writeUse = useWriter(deps)
  const nowText = (): string => new Date(clock.now()).toISOString()

  const create = async ({ target, identity, requestId }: PlacementRequest, seat: Seat): Promise<Made> => {
    ensureStillOpen(deps.targets, target)
    const subject = deps.exposeSubjects ? readableSubject(target, identity, deps.issuers) : undefined
    const order = { ...seat, target, subject, requestId }
    const made = await createInstance({ ...deps, turns }, order, signal)
    view.learn(made.instance)
    return made
  }

  const restart = async ({ metadata: { name, uid = "" } }: MCPInstance): Promise<void> => {
    const patch = { metadata: { uid }, spec: { restartTime: nowText() } }
    try {
      view.learn(await cluster.mergePatch(mcpInstanceKind, { namespace, name }, patch, { signal }))
    } catch (error) {
      if (!hasCode(error, "ApiNotFound", "ApiConflict")) throw refusal(name, "change", error)
      await view.confirm(name)
    }
  }

  return {
    create: (request, seat) => creating(seat.name, () => create(request, seat)),
    restart: (instance) => restarting(instance.metadata.uid ?? "", () => restart(instance)),
    failure: createFailures(deps),
    conflict: createConflicts(deps),
    writeMark: (instance, open) => {
      const now = nowText()
      return writeUse(instance, { inUseBy: { [replica]: open ? now : null }, lastUsedTime: now })
    },
    writeStamp: (instance) => writeUse(instance, { lastUsedTime: nowText() }),
    writeNotice: (instance, drain) => writeUse(instance, { drainSeenBy: { [replica]: drain } }),
  }
}
