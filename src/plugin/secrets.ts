import { deepFreeze } from "../api/deep-freeze.ts"
import type { MCPTarget } from "../api/mcp-target.ts"
import { badAnswer, type CallName, callPlugin, callPluginNow } from "./call.ts"
import type { SecretResult, Sharer } from "./contract.ts"
import { contextOf, nameOf, type Parts } from "./parts.ts"
import { findHook, schemeOf } from "./registry.ts"

const limitMs = 10_000

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
const check = (name: CallName, answer: unknown, now: number): SecretResult => {
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
    const limits = { clock: parts.clock, limitMs, signal }
    return parts.meter.count(name, { target: target.metadata.name, requestId }, async () => {
      const answer = await callPlugin(name, limits, (stop) => found.hook(input, contextOf(parts, found, target, stop)))
      return check(name, answer, parts.clock.now())
    })
  }
