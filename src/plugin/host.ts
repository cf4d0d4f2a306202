/** What the program asks of plugins: subject keys, secrets, pod templates; each bounded, checked and counted. */
import type { MCPInstance } from "../api/mcp-instance.ts"
import type { MCPTarget } from "../api/mcp-target.ts"
import type { Pod } from "../api/pod.ts"
import type { FindPluginFaults } from "../api/target-fault.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { TelemetryPort } from "../ports/telemetry.ts"
import type { PluginIdentity, SecretResult } from "./contract.ts"
import { findPluginFaults } from "./faults.ts"
import { createMeter } from "./meter.ts"
import type { ReadSecret } from "./parts.ts"
import { applyTemplates } from "./pod-templates.ts"
import { createRegistry, type ReadyPlugin } from "./registry.ts"
import { resolveSecret, type SecretRequest } from "./secrets.ts"
import { type LoadedPlugin, setUpPlugin } from "./setup.ts"
import { askSubjectKey } from "./subject-keys.ts"

/** What the host works with. */
export type HostDeps = {
  readonly clock: ClockPort
  readonly telemetry: TelemetryPort
  /** Absent where no Secret may be read (operator). */
  readonly readSecret?: ReadSecret
  /** Aborted when the start is given up. */
  readonly signal?: AbortSignal
}

/** The loaded plugins. Every function throws PluginFailed with the names of plugin and hook. */
export type PluginHost = {
  /**
   * What the target's strategy says of the caller; undefined = denied. A promise only if the hook makes one. `requestId`
   * is for the log.
   */
  subjectKey(
    target: MCPTarget,
    identity: PluginIdentity,
    requestId?: string,
  ): string | undefined | Promise<string | undefined>
  /** The value behind `scheme:reference`. */
  secret(request: SecretRequest): Promise<SecretResult>
  /** What a target's choices of hooks are wrong about: names that nothing has, configurations that a schema refuses. */
  readonly faults: FindPluginFaults
  /** Names that targets may use in `podTemplates`. */
  readonly podTemplates: ReadonlySet<string>
  /** The Pod as the instance's templates make it, in order. */
  template(pod: Pod, instance: MCPInstance): Pod
}

/** Sets up plugins, one after the other, in order, and makes their host. Throws PluginFailed: the start stops. */
export const createPluginHost = async (loaded: readonly LoadedPlugin[], deps: HostDeps): Promise<PluginHost> => {
  const ready: ReadyPlugin[] = []
  for (const each of loaded) ready.push(await setUpPlugin(each, deps))
  const { clock, readSecret, telemetry } = deps
  const registry = createRegistry(ready)
  const parts = { registry, meter: createMeter(telemetry), clock, readSecret }
  return {
    subjectKey: askSubjectKey(parts),
    secret: resolveSecret(parts),
    faults: findPluginFaults(registry),
    podTemplates: new Set(parts.registry.podTemplates.keys()),
    template: applyTemplates(parts),
  }
}
