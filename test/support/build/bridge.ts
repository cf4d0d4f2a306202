import type { MCPInstance } from "../../../src/api/kinds/mcp-instance.ts"
import type { Pod, PodStatus } from "../../../src/api/kinds/pod.ts"
import { podName } from "../../../src/api/names.ts"
import type { BridgeDelivery, BridgeSupply } from "../../../src/operator/desired/bridge-delivery.ts"
import { desiredPod } from "../../../src/operator/desired/pod.ts"
import { anInstance } from "./instance.ts"
import { metadata } from "./metadata.ts"
import { someSettings } from "./settings.ts"

/** A supply that brings the bridge in one way; undefined = in none. */
export const aSupply = (delivery: BridgeDelivery | undefined, more: Partial<BridgeSupply> = {}): BridgeSupply => ({
  deliveryFor: () => delivery,
  pullSecrets: [],
  shareProcesses: true,
  keep: async () => false,
  repair: async () => {},
  ...more,
})

/** An instance of a server that speaks stdin and stdout. */
export const aStdioInstance: MCPInstance = anInstance({ spec: { command: ["server", "--stdio"], stdio: {} } })

/** Its Pod, into which the bridge gets as an image volume unless `delivery` says otherwise. */
export const aStdioPod = (
  status: PodStatus,
  delivery: BridgeDelivery = { kind: "ImageVolume", image: "bridge:1" },
): Pod => {
  const { name, uid = "" } = aStdioInstance.metadata
  const pod = podName(name, uid, 1)
  const made = desiredPod({
    instance: aStdioInstance,
    name: pod,
    settings: someSettings({ bridge: aSupply(delivery) }),
  })
  return { ...made, metadata: { ...made.metadata, ...metadata(pod, { uid: `uid-${pod}` }) }, status }
}
