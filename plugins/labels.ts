/** Pod template `labels`: adds labels and annotations to a target's Pods, e.g. for cost centres or a service mesh. */
import { z } from "zod"
import { defineHook, definePlugin } from "../src/plugin/contract.ts"

const names = z
  .record(z.string(), z.string())
  .refine((all) => !Object.keys(all).some((name) => name.startsWith("mcp.reflow.io/")), "mcp.reflow.io/ is reserved")
  .default({})

const settings = z.strictObject({ labels: names, annotations: names })

export default definePlugin({
  api: 1,
  name: "labels",
  setup: () => ({
    podTemplates: {
      labels: defineHook(settings, ({ pod, config }) => ({
        ...pod,
        metadata: {
          ...pod.metadata,
          labels: { ...pod.metadata.labels, ...config.labels },
          annotations: { ...pod.metadata.annotations, ...config.annotations },
        },
      })),
    },
  }),
})
