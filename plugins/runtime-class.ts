/**
 * Pod template `runtime-class`: runs a target's Pods with another container runtime, e.g. gVisor or Kata Containers.
 */
import { z } from "zod"
import { defineHook, definePlugin } from "../src/plugin/contract.ts"

const settings = z.strictObject({
  /** Name of a RuntimeClass of the cluster. */
  name: z.string().regex(/^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$/, "must be the name of a RuntimeClass"),
})

export default definePlugin({
  api: 1,
  name: "runtime-class",
  setup: () => ({
    podTemplates: {
      "runtime-class": defineHook(settings, ({ pod, config }) => ({
        ...pod,
        spec: { ...pod.spec, runtimeClassName: config.name },
      })),
    },
  }),
})
