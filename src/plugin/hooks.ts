import type { MCPInstance } from "../api/kinds/mcp-instance.ts"
import type { MCPTarget } from "../api/kinds/mcp-target.ts"
import type { Pod } from "../api/kinds/pod.ts"
import { deepFreeze } from "../api/patch.ts"
import { badAnswer, type CallName, callPlugin, callPluginNow } from "./call.ts"
import type { PluginIdentity, SecretResult, Sharer } from "./contract.ts"
import { contextOf, findHook, nameOf, type Parts, schemeOf, toConfigured } from "./registry.ts"
import { parseSettingsNow } from "./shape.ts"

const keyLimitMs = 1_000
/** Longest subject key, bytes. */
const maxBytes = 1_024

const checkKey = (name: CallName, key: unknown): string | undefined => {
  if (key === undefined || key === "") return undefined
  if (typeof key !== "string") throw badAnswer(name, "gave something other than text as a subject key")
  // two different texts that are no Unicode would become one when they are digested
  if (!key.isWellFormed()) throw badAnswer(name, "gave a subject key that is no valid Unicode")
  if (Buffer.byteLength(key) <= maxBytes) return key
  throw badAnswer(name, `gave a subject key of more than ${maxBytes} bytes`)
}

/**
 * Makes the function that asks a target's strategy for the caller's subject key; undefined = denied. A promise only if
 * the hook makes one. Throws PluginFailed and the hook's own SubjectKeyDenied.
 */
export const askSubjectKey =
  (parts: Parts) =>
  (
    target: MCPTarget,
    identity: PluginIdentity,
    requestId?: string,
  ): string | undefined | Promise<string | undefined> => {
    const { strategy = "", config = {} } = target.spec.subjectKey ?? {}
    const found = findHook(parts.registry.subjectKeys, strategy, "subject-key strategy")
    const hook = toConfigured(found.hook)
    const name = nameOf(found)
    return parts.meter.count(name, { target: target.metadata.name, requestId }, () => {
      const of = { name, where: `spec.subjectKey.config of ${target.metadata.name}` }
      const input = deepFreeze({ identity, config: parseSettingsNow(hook.config, config, of) })
      const answer = callPlugin(name, { clock: parts.clock, limitMs: keyLimitMs }, (signal) =>
        hook.run(input, contextOf(parts, found, target, signal)),
      )
      return answer instanceof Promise ? answer.then((key) => checkKey(name, key)) : checkKey(name, answer)
    })
  }

const secretLimitMs = 10_000

/** A value that a target wants. */
export type SecretRequest = {
  readonly target: MCPTarget
  /** Whose instance it is for. */
  readonly sharer: Sharer
  /** Environment variable that the value becomes. */
  readonly name: string
  /** `scheme:reference`. */
  readonly from: string
  /** Id of the request that wants it, for the log. */
  readonly requestId?: string | undefined
  /** Aborted when nobody waits any more. */
  readonly signal: AbortSignal
}

/** The answer itself is in no error: it may be the secret. */
const checkSecret = (name: CallName, answer: unknown, now: number): SecretResult => {
  if (typeof answer !== "object" || answer === null) throw badAnswer(name, "gave no value")
  const { value, expiresAt, ...rest }: Readonly<Record<string, unknown>> = callPluginNow(name, () => ({ ...answer }))
  if (Object.keys(rest).length > 0) throw badAnswer(name, "gave more than value and expiresAt")
  if (typeof value !== "string" || value === "") throw badAnswer(name, "gave no value")
  // what has no UTF-8 would reach the server as another value
  if (!value.isWellFormed()) throw badAnswer(name, "gave a value that is no valid Unicode")
  if (expiresAt === undefined) return { value }
  // a Date ends at 275760-09-13
  if (typeof expiresAt !== "number" || !(Math.abs(expiresAt) <= 8.64e15))
    throw badAnswer(name, "gave an expiresAt that is no number of milliseconds")
  // an instance with it would be replaced at once, again and again
  if (expiresAt <= now) throw badAnswer(name, "gave a value that has expired")
  return { value, expiresAt }
}

/**
 * Makes the function that resolves a value by the scheme's hook. Rejects with PluginFailed, and with CredentialMissing, whose
 * text is the plugin's reason and may be empty, if the sharer has none.
 */
export const resolveSecret =
  (parts: Parts) =>
  async ({ target, sharer, name: variable, from, requestId, signal }: SecretRequest): Promise<SecretResult> => {
    const scheme = schemeOf(from)
    const found = findHook(parts.registry.secrets, scheme, "scheme")
    const name = nameOf(found)
    const input = deepFreeze({ reference: from.slice(scheme.length + 1), name: variable, sharer })
    const limits = { clock: parts.clock, limitMs: secretLimitMs, signal }
    return parts.meter.count(name, { target: target.metadata.name, requestId }, async () => {
      const answer = await callPlugin(name, limits, (stop) => found.hook(input, contextOf(parts, found, target, stop)))
      return checkSecret(name, answer, parts.clock.now())
    })
  }

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
const checkPod = (name: CallName, pod: unknown): Pod => {
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
      return checkPod(
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
