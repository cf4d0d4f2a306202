import { deepFreeze } from "../api/deep-freeze.ts"
import type { MCPInstance } from "../api/mcp-instance.ts"
import type { Pod } from "../api/pod.ts"
import { badAnswer, type CallName, callPluginNow } from "./call.ts"
import { nameOf, type Parts } from "./parts.ts"
import { findHook, toConfigured } from "./registry.ts"
import { parseSettingsNow } from "./settings.ts"

const isPod = (value: unknown): boolean => {
  const containers = (value as Partial<Pod> | null | undefined)?.spec?.containers
  return Array.isArray(containers) && containers.length > 0
}

/** A copy: what cannot be sent as JSON is no Pod, and what the hook keeps must not change under us. */
const check = (name: CallName, pod: unknown): Pod => {
  if (pod instanceof Promise) {
    pod.catch(() => {})
    throw badAnswer(name, "gave a promise: pod templates answer at once")
  }
  if (!isPod(pod)) throw badAnswer(name, "gave no Pod")
  return deepFreeze(callPluginNow(name, () => JSON.parse(JSON.stringify(pod)) as Pod))
}

/** Makes the function that lets an instance's pod templates change its Pod, in order. Throws PluginFailed. */
export const applyTemplates =
  (parts: Parts) =>
  (pod: Pod, instance: MCPInstance): Pod =>
    (instance.spec.podTemplates ?? []).reduce((before, { name: wanted, config = {} }) => {
      const found = findHook(parts.registry.podTemplates, wanted, "pod template")
      const hook = toConfigured(found.hook)
      const name = nameOf(found)
      const settings = parseSettingsNow(hook.config, config, `the configuration of the pod template ${wanted}`)
      const input = deepFreeze({ pod: before, instance, config: settings })
      const { log } = found.plugin
      return parts.meter.count(name, () =>
        check(
          name,
          callPluginNow(name, () => hook.run(input, { log })),
        ),
      )
    }, deepFreeze(pod))
