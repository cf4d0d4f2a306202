import { type MCPTarget, mcpTargetKind } from "../api/kinds/mcp-target.ts"
import { labels } from "../api/names.ts"
import { errorTable, hasCode, isAppError } from "../errors.ts"
import { changeAnnotation, changeBetween, noteChange } from "../signals/credentials-changed.ts"
import { type Call, caughtUp, targetNotFound } from "./call.ts"

/**
 * What the REST API tells all gateways about a target whose server somebody else runs: annotations of the target, which
 * they watch. There is no instance that could tell it.
 */

type Annotations = Readonly<Record<string, string | null>>

/** Most attempts to write annotations, and the pause after the first failed one, milliseconds; each next is doubled. */
const mostAttempts = 4
const firstPauseMs = 100

/** One attempt; false if the target was deleted, or another one has its name now. */
const writeOnce = async (
  { deps, signal }: Call,
  { metadata: { name, uid } }: MCPTarget,
  annotations: Annotations,
): Promise<boolean> => {
  const ref = { namespace: deps.namespace, name }
  try {
    await deps.cluster.mergePatch(mcpTargetKind, ref, { metadata: { uid, annotations } }, { signal })
    return true
  } catch (error) {
    if (hasCode(error, "ApiNotFound")) return false
    // the API server reports a conflict also when many others write the same target
    if (!hasCode(error, "ApiConflict")) throw error
    if ((await deps.cluster.get(mcpTargetKind, ref, { signal }))?.metadata.uid !== uid) return false
    throw error
  }
}

/**
 * Writes annotations of the target, several times if the cluster fails for a moment: what they tell has happened
 * already. False if the target no longer exists. Throws the cluster's error.
 */
const annotate = async (call: Call, target: MCPTarget, annotations: Annotations): Promise<boolean> => {
  for (let attempt = 1; ; attempt++) {
    try {
      return await writeOnce(call, target, annotations)
    } catch (error) {
      if (attempt === mostAttempts || !isAppError(error) || !errorTable[error.code].retryable) throw error
      await call.deps.clock.sleep(firstPauseMs * 2 ** (attempt - 1), call.signal)
    }
  }
}

/**
 * Tells all gateways that a scope Secret of a remote target was written or deleted. Resolves when this gateway knows it,
 * so that the next call has the new values, but after two seconds in any case. Throws the cluster's error: the caller
 * must then repeat the write, which is idempotent.
 */
export const announceChange = async (call: Call, target: MCPTarget, secret: string): Promise<void> => {
  const { targets, clock } = call.deps
  const { name, uid, annotations = {} } = target.metadata
  // a change that this gateway sees from now on, by whomever, is younger than the Secret that was just written
  const before = targets.get(name)?.metadata.annotations ?? {}
  const isWritten = await annotate(call, target, noteChange(annotations, secret, clock.now()))
  if (!isWritten) return
  await caughtUp(targets, clock, () => {
    const seen = targets.get(name)?.metadata
    return seen?.uid !== uid || changeBetween(before, seen?.annotations ?? {}).concerns([changeAnnotation(secret)])
  })
}

/**
 * Ends all sessions of a remote target on all gateways, and lets them read its credentials anew. Resolves when this
 * gateway knows it, but after two seconds in any case. Throws `TargetNotFound`, or the cluster's error.
 */
export const endSessions = async (call: Call, target: MCPTarget): Promise<void> => {
  const { targets, clock } = call.deps
  const { name, uid, annotations = {} } = target.metadata
  const [now, last] = [new Date(clock.now()).toISOString(), annotations[labels.restartedTime]]
  // an equal time would end nothing
  const time = now === last ? new Date(clock.now() + 1).toISOString() : now
  const before = targets.get(name)?.metadata.annotations?.[labels.restartedTime]
  if (!(await annotate(call, target, { [labels.restartedTime]: time }))) throw targetNotFound(name)
  await caughtUp(targets, clock, () => {
    const seen = targets.get(name)?.metadata
    return seen?.uid !== uid || seen?.annotations?.[labels.restartedTime] !== before
  })
}
