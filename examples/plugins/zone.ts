// A pod template: restricts a target's Pods to one zone. The target sets the zone:
// spec.podTemplates: [{ name: zone/zone, config: { zone: eu-central-1a } }]
import { definePlugin, type Pod } from "reflow-gateway/plugin"

const inZone = (pod: Pod, zone: string): Pod => ({
  ...pod,
  spec: { ...pod.spec, nodeSelector: { ...pod.spec.nodeSelector, "topology.kubernetes.io/zone": zone } },
})

export default definePlugin({
  api: 1,
  name: "zone",
  setup: () => ({
    podTemplates: {
      zone: ({ pod, config }) => {
        const { zone } = config as { zone?: unknown }
        return typeof zone === "string" ? inZone(pod, zone) : pod
      },
    },
  }),
})
