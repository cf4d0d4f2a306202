import type { MCPInstance } from "../api/kinds/mcp-instance.ts"
import type { MCPTarget } from "../api/kinds/mcp-target.ts"
import type { Pod } from "../api/kinds/pod.ts"
import { deepFreeze, isFields } from "../api/patch.ts"
import { badAnswer, type CallName, callPlugin, callPluginNow } from "./call.ts"
import type { PluginIdentity, SecretResult, Sharer } from "./contract.ts"
import { contextOf, findHook, nameOf, type Parts, schemeOf, toConfigured } from "./registry.ts"
import { parseSettingsNow } from "./shape.ts"

const keyLimitMs = 1_000
/** Maximum size of a strategy's result, in bytes of UTF-8. */
const maxBytes = 1_024

const checkKey = (name: CallName, key: unknown): string | undefined => {
  if (key === undefined || key === "") return undefined
  if (typeof key !== "string") throw badAnswer(name, "gave something other than text as a subject key")
  // texts that are not valid Unicode are encoded with replacement characters: two of them could get the same digest
  if (!key.isWellFormed()) throw badAnswer(name, "gave a subject key that is no valid Unicode")
  if (Buffer.byteLength(key) <= maxBytes) return key
  throw badAnswer(name, `gave a subject key of more than ${maxBytes} bytes`)
}

/**
 * Creates the function that calls a target's strategy for a caller; undefined = denied. It returns a promise only if
 * the hook does. Throws PluginFailed, and SubjectKeyDenied if the hook threw that.
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

/** A value of a target's `spec.secrets` to resolve. */
export type SecretRequest = {
  readonly target: MCPTarget
  /** Sharer of the instance that the value is for. */
  readonly sharer: Sharer
  /** Environment variable that the value becomes. */
  readonly name: string
  /** `scheme:reference`. */
  readonly from: string
  /** Id of the request that needs it, for the log. */
  readonly requestId?: string | undefined
  /** Aborted when the value is no longer needed. */
  readonly signal: AbortSignal
}

/** Checks a resolver's result. Errors never contain the result, since it may be the secret. */
const checkSecret = (name: CallName, answer: unknown, now: number): SecretResult => {
  if (typeof answer !== "object" || answer === null) throw badAnswer(name, "gave no value")
  const { value, expiresAt, ...rest }: Readonly<Record<string, unknown>> = callPluginNow(name, () => ({ ...answer }))
  if (Object.keys(rest).length > 0) throw badAnswer(name, "gave more than value and expiresAt")
  if (typeof value !== "string" || value === "") throw badAnswer(name, "gave no value")
  // text that is not valid Unicode would be changed by UTF-8 encoding
  if (!value.isWellFormed()) throw badAnswer(name, "gave a value that is no valid Unicode")
  if (expiresAt === undefined) return { value }
  // the largest time of a Date (ECMAScript)
  if (typeof expiresAt !== "number" || !(Math.abs(expiresAt) <= 8.64e15))
    throw badAnswer(name, "gave an expiresAt that is no number of milliseconds")
  // the instance would be replaced again and again
  if (expiresAt <= now) throw badAnswer(name, "gave a value that has expired")
  return { value, expiresAt }
}

/**
 * Creates the function that resolves a value with the scheme's hook. Rejects with PluginFailed, with CredentialMissing
 * (its message is the plugin's reason, which may be empty) if the sharer has no value, or with SubjectKeyDenied.
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
const areContainers = (value: unknown): boolean =>
  Array.isArray(value) && value.every((each) => isFields(each) && typeof each.name === "string")

/** Checks only the parts of a Pod that the operator uses; the API server validates the rest. */
const isPod = (value: unknown): boolean => {
  if (!isFields(value) || !isFields(value.metadata) || !isFields(value.spec)) return false
  const { containers, initContainers = [] } = value.spec
  return areContainers(containers) && (containers as unknown[]).length > 0 && areContainers(initContainers)
}

/** For JSON.parse: removes fields that are null, which Kubernetes treats as absent. */
const withoutNulls = (_: string, value: unknown): unknown =>
  isFields(value) ? Object.fromEntries(Object.entries(value).filter(([, each]) => each !== null)) : value

/** Returns a frozen JSON copy of a template's result, so that a reference kept by the hook cannot change it later. */
const checkPod = (name: CallName, pod: unknown): Pod => {
  if (pod instanceof Promise) {
    pod.catch(() => {})
    throw badAnswer(name, "gave a promise: pod templates answer at once")
  }
  const copy: unknown = callPluginNow(name, () => JSON.parse(JSON.stringify(pod) ?? "null", withoutNulls))
  if (!isPod(copy)) throw badAnswer(name, "gave no Pod")
  return deepFreeze(copy as Pod)
}

/** Applies one pod template. */
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

/** Creates the function that applies an instance's pod templates to its Pod, in order. Throws PluginFailed. */
export const applyTemplates =
  (parts: Parts) =>
  (pod: Pod, instance: MCPInstance): Pod =>
    (instance.spec.podTemplates ?? []).reduce(applyOne(parts, instance), deepFreeze(pod))
