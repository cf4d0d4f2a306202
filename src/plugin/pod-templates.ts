import { deepFreeze } from "../api/deep-freeze.ts"
import type { MCPInstance } from "../api/mcp-instance.ts"
import type { Pod } from "../api/pod.ts"
import { badAnswer, type CallName, callPluginNow } from "./call.ts"
import { nameOf, type Parts } from "./parts.ts"
import { findHook, toConfigured } from "./registry.ts"
import { parseSettingsNow } from "./settings.ts"

type TemplateChoice = NonNullable<MCPInstance["spec"]["podTemplates"]>[number]
type Fields = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const areContainers = (value: unknown): boolean =>
  Array.isArray(value) && value.every((each) => isObject(each) && typeof each.name === "string")

/** As much of a Pod as we look at ourselves; the rest is for the API server to say. */
const isPod = (value: unknown): boolean => {
  if (!isObject(value) || !isObject(value.metadata) || !isObject(value.spec)) return false
  const { containers, initContainers = [] } = value.spec
  return areContainers(containers) && (containers as unknown[]).length > 0 && areContainers(initContainers)
}

/** Kubernetes takes null for nothing said, and so do we: nobody then needs to look for it. */
const withoutNulls = (_: string, value: unknown): unknown =>
  isObject(value) ? Object.fromEntries(Object.entries(value).filter(([, each]) => each !== null)) : value

/** A copy: what cannot be sent as JSON is no Pod, and what the hook keeps must not change under us. */
const check = (name: CallName, pod: unknown): Pod => {
  if (pod instanceof Promise) {
    pod.catch(() => {})
    throw badAnswer(name, "gave a promise: pod templates answer at once")
  }
  const copy: unknown = callPluginNow(name, () => JSON.parse(JSON.stringify(pod) ?? "null", withoutNulls))
  if (!isPod(copy)) throw badAnswer(name, "gave no Pod")
  return deepFreeze(copy as Pod)
}

/** Applies one template. */
const applyOne =
  (parts: Parts, instance: MCPInstance) =>
  (before: Pod, { name: wanted, config = {} }: TemplateChoice): Pod => {
    const found = findHook(parts.registry.podTemplates, wanted, "pod template")
    const hook = toConfigured(found.hook)
    const name = nameOf(found)
    const about = { target: instance.spec.targetName, instance: instance.metadata.name }
    const of = { name, where: `the configuration of the pod template ${wanted}` }
    return parts.meter.count(name, about, () => {
      const input = deepFreeze({ pod: before, instance, config: parseSettingsNow(hook.config, config, of) })
      return check(
        name,
        callPluginNow(name, () => hook.run(input, { log: found.log })),
      )
    })
  }

/** Makes the function that lets an instance's pod templates change its Pod, in order. Throws PluginFailed. */
export const applyTemplates =
  (parts: Parts) =>
  (pod: Pod, instance: MCPInstance): Pod =>
    (instance.spec.podTemplates ?? []).reduce(applyOne(parts, instance), deepFreeze(pod))
