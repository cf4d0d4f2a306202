import { systemClock } from "../../src/adapters/system/clock.ts"
import { isAppError } from "../../src/errors.ts"
import { builtinPlugins } from "../../src/plugin/builtin.ts"
import type { PluginIdentity, SecretResult } from "../../src/plugin/contract.ts"
import { createPluginHost, type HostDeps, type PluginHost } from "../../src/plugin/host.ts"
import { aTarget } from "./build/target.ts"
import { quietTelemetry } from "./quiet-telemetry.ts"

/** A host of one plugin that comes with the program. */
export const builtinHost = (
  name: string,
  config: unknown = {},
  more: Partial<HostDeps> = {},
  readable: readonly string[] = [],
): Promise<PluginHost> =>
  createPluginHost([{ source: name, firstParty: true, exported: builtinPlugins[name], config, readable }], {
    clock: systemClock,
    telemetry: quietTelemetry(),
    ...more,
  })

/** Code, text and cause of the AppError that a call ends with; fails if it ends with none. */
export const failureOf = async (call: () => unknown): Promise<string> => {
  try {
    await call()
  } catch (error) {
    if (!isAppError(error)) throw error
    return `${error.code}: ${error.message} ${error.cause instanceof Error ? error.cause.message : ""}`
  }
  throw new Error("it did not fail")
}

/** A caller of the issuer corp. */
export const callerWith = (claims: Record<string, unknown>, more: Partial<PluginIdentity> = {}): PluginIdentity => ({
  source: "jwt",
  issuer: "corp",
  subject: "alice",
  groups: [],
  roles: [],
  scopes: [],
  claims,
  ...more,
})

/** What a host's resolver gives for `scheme:reference`. */
export const resolved = (host: PluginHost, from: string): Promise<SecretResult> =>
  host.secret({
    target: aTarget(),
    sharer: { kind: "shared", subjectKey: "shared" },
    name: "TOKEN",
    from,
    signal: AbortSignal.timeout(10_000),
  })
