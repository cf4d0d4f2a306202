import { bridgeKind } from "../bridge-state.ts"
import { deliveryOf } from "../desired/bridge.ts"
import type { Check } from "../snapshot.ts"
import { pendingReason } from "../status.ts"

/**
 * Replaces a Pod that could not get the bridge, if the next one gets it in another way. Otherwise the Pod stays: the
 * kubelet tries again.
 */
export const bridgeMissing: Check = ({ pod, standing, instance, settings }) => {
  if (pod === undefined || standing.reason !== "BridgeNotMounted") return undefined
  const next = deliveryOf(instance.spec, settings)?.kind
  if (next === undefined || next === bridgeKind(pod)) return undefined
  const reason = `BridgeNotMounted: the next Pod gets the bridge by ${next}`
  return {
    verdict: {
      actions: [{ do: "deletePod", pod, reason }],
      standing: { ready: false, ...pendingReason },
      starts: (instance.status?.starts ?? 0) + 1,
    },
  }
}
