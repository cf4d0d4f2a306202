/**
 * Pod template `node-selector`: restricts a target's Pods to nodes with certain labels, and adds tolerations for
 * taints.
 */
import { z } from "zod"
import { defineHook, definePlugin } from "../src/plugin/contract.ts"

const settings = z.strictObject({
  /** Labels that a node must have. */
  labels: z.record(z.string(), z.string()).default({}),
  /** Tolerations as in a Pod. */
  tolerations: z
    .array(
      z.strictObject({
        key: z.string().optional(),
        operator: z.enum(["Exists", "Equal"]).optional(),
        value: z.string().optional(),
        effect: z.enum(["NoSchedule", "PreferNoSchedule", "NoExecute"]).optional(),
        tolerationSeconds: z.int().optional(),
      }),
    )
    .default([]),
})

export default definePlugin({
  api: 1,
  name: "node-selector",
  setup: () => ({
    podTemplates: {
      "node-selector": defineHook(settings, ({ pod, config }) => ({
        ...pod,
        spec: {
          ...pod.spec,
          nodeSelector: { ...pod.spec.nodeSelector, ...config.labels },
          tolerations: [...(pod.spec.tolerations ?? []), ...config.tolerations],
        },
      })),
    },
  }),
})
