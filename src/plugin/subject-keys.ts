import { deepFreeze } from "../api/deep-freeze.ts"
import type { MCPTarget } from "../api/mcp-target.ts"
import { badAnswer, type CallName, callPlugin } from "./call.ts"
import type { PluginIdentity } from "./contract.ts"
import { contextOf, nameOf, type Parts } from "./parts.ts"
import { findHook, toConfigured } from "./registry.ts"
import { parseSettingsNow } from "./settings.ts"

const limitMs = 1_000
/** Longest subject key, bytes. */
const maxBytes = 1_024

const check = (name: CallName, key: unknown): string | undefined => {
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
      const answer = callPlugin(name, { clock: parts.clock, limitMs }, (signal) =>
        hook.run(input, contextOf(parts, found, target, signal)),
      )
      return answer instanceof Promise ? answer.then((key) => check(name, key)) : check(name, answer)
    })
  }
