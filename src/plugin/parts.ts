import { deepFreeze } from "../api/deep-freeze.ts"
import type { MCPTarget } from "../api/mcp-target.ts"
import type { ClockPort } from "../ports/clock.ts"
import { badAnswer, type CallName } from "./call.ts"
import type { HookContext } from "./contract.ts"
import type { Meter } from "./meter.ts"
import type { Registered, Registry } from "./registry.ts"

/** Reads one key of a Secret in the namespace of the instances. */
export type ReadSecret = (name: string, key: string, signal: AbortSignal) => Promise<string | undefined>

/** What calls of hooks are made of. */
export type Parts = {
  readonly registry: Registry
  readonly meter: Meter
  readonly clock: ClockPort
  /** Absent where no Secret may be read (operator). */
  readonly readSecret: ReadSecret | undefined
}

/** What a hook is called in errors and metrics. */
export const nameOf = ({ plugin, name }: Registered<unknown>): CallName => ({ plugin: plugin.name, hook: name })

/** What a hook may use: see {@link HookContext}. */
export const contextOf = (
  { clock, readSecret }: Parts,
  found: Registered<unknown>,
  target: MCPTarget,
  signal: AbortSignal,
): HookContext => ({
  signal,
  log: found.log,
  clock,
  target: deepFreeze(target),
  readSecret: async (name, key) => {
    if (readSecret !== undefined && found.plugin.readable.includes(name)) return readSecret(name, key, signal)
    throw badAnswer(nameOf(found), `may not read the Secret '${name.slice(0, 64)}': name it in plugins[].secrets`)
  },
})
