import { isTrue } from "../../api/condition.ts"
import { parseDuration } from "../../api/duration.ts"
import { type MCPInstance, mcpInstanceKind } from "../../api/mcp-instance.ts"
import { shuttingDown } from "./errors.ts"
import { removeOrphanedSecrets } from "./orphaned-secrets.ts"
import { createParts, type Parts, type PlacementDeps } from "./parts.ts"
import { createPlacing } from "./placing.ts"
import type { Placement, PlacementPort } from "./port.ts"
import { livesOn, probe } from "./probe.ts"
import { idleTTLOf } from "./use-stamp.ts"

export type { PlacementDeps, PlacementOptions } from "./parts.ts"

/** How long a stream without a call counts as use after its last byte: the target's word, else the configuration's. */
const streamTTL = ({ targets, options }: PlacementDeps, instance: MCPInstance): number => {
  const own = targets.get(instance.spec.targetName)?.spec.streamTTL
  const parsed = own === undefined ? undefined : parseDuration(own)
  return parsed ?? options.stream_ttl ?? idleTTLOf(instance, options.idle_ttl)
}

const readIncarnation = async (
  { cluster, options: { namespace } }: PlacementDeps,
  { view }: Parts,
  { instance, instanceUID }: Placement,
  signal: AbortSignal,
): Promise<string | undefined> => {
  const found = await cluster.get(mcpInstanceKind, { namespace, name: instance }, { signal })
  if (found === undefined) view.learnGone(instance, instanceUID)
  else view.learn(found)
  const lives = found?.metadata.uid === instanceUID && found.metadata.deletionTimestamp === undefined
  return lives ? found.status?.incarnation : undefined
}

/** Makes placement. Close it: waiting requests end, this replica's keys are removed. */
export const createPlacement = (deps: PlacementDeps): PlacementPort => {
  const stop = new AbortController()
  const parts = createParts(deps, stop.signal)
  const { view, keys, stamps, notices, reach, room } = parts
  const leaveSecrets = removeOrphanedSecrets({
    cluster: deps.cluster,
    namespace: deps.options.namespace,
    instances: deps.instances,
    clock: deps.clock,
    log: deps.telemetry.log.child({ part: "placement" }),
    signal: stop.signal,
  })

  const close = async (): Promise<void> => {
    stop.abort()
    leaveSecrets()
    room.close(shuttingDown())
    reach.close()
    stamps.close()
    notices.close()
    view.close()
    await keys.close()
  }

  const currentIncarnation: PlacementPort["currentIncarnation"] = (placement, signal) =>
    readIncarnation(deps, parts, placement, signal)
  const lives = { currentIncarnation, probe: deps.probe ?? probe, clock: deps.clock }

  return {
    place: createPlacing(deps, parts, stop.signal),
    beginCall: ({ instance, instanceUID }) => {
      const end = keys.beginCall({ name: instance, uid: instanceUID })
      if (isTrue(view.get(instance)?.status?.conditions, "Draining")) void keys.hurry(instanceUID)
      return end
    },
    touchStream: ({ instance, instanceUID }) => {
      const found = view.get(instance)
      if (found?.metadata.uid === instanceUID) stamps.touchStream(found, streamTTL(deps, found))
    },
    currentIncarnation,
    livesOn: (placement, signal) => livesOn(lives, placement, signal),
    reportUnreachable: ({ instance, incarnation }) => {
      reach.forget(instance, incarnation)
      // whoever is placed next waits anyway, and is told what the answer changes
      view.confirm(instance).catch(() => {})
    },
    close,
  }
}
