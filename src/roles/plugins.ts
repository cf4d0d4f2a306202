import { secretKind } from "../api/kinds/kubernetes.ts"
import type { Config } from "../config/schema.ts"
import type { ResolveSecret } from "../credentials/compose.ts"
import type { Holder } from "../credentials/scopes.ts"
import { AppError } from "../errors.ts"
import type { OutsideSettings } from "../operator/snapshot.ts"
import { builtinPlugins, needsSettings } from "../plugin/builtin.ts"
import type { Sharer } from "../plugin/contract.ts"
import { createPluginHost, type PluginHost } from "../plugin/host.ts"
import { loadPluginFile } from "../plugin/load.ts"
import type { ReadSecret } from "../plugin/registry.ts"
import type { LoadedPlugin } from "../plugin/setup.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { ClusterPort } from "../ports/cluster.ts"
import type { TelemetryPort } from "../ports/telemetry.ts"

type Entry = Config["plugins"][number]

/** Dependencies of {@link loadPlugins}. */
type PluginsDeps = {
  readonly config: Pick<Config, "plugins" | "kubernetes">
  readonly clock: ClockPort
  readonly telemetry: TelemetryPort
  /** Reads Secrets for plugins; absent in the operator, which may not read any. */
  readonly cluster?: ClusterPort
  readonly signal?: AbortSignal
}

const named = (name: string): unknown => {
  if (Object.hasOwn(builtinPlugins, name)) return builtinPlugins[name]
  const known = Object.keys(builtinPlugins).join(", ")
  throw new AppError("ConfigInvalid", { detail: `plugins[].name: there is no plugin '${name}'; there are ${known}.` })
}

const loadEntry = async (entry: Entry, clock: ClockPort): Promise<LoadedPlugin> => {
  const { path, name = "", sha256, config, secrets: readable } = entry
  if (path === undefined) return { source: name, firstParty: true, exported: named(name), config, readable }
  return { source: path, firstParty: false, exported: await loadPluginFile({ path, sha256 }, clock), config, readable }
}

/** The built-in plugins that need no configuration and that `entries` (plugins[]) does not name. */
export const unconfigured = (entries: readonly Pick<Entry, "name">[]): LoadedPlugin[] =>
  Object.entries(builtinPlugins)
    .filter(([name]) => !needsSettings.has(name) && !entries.some((entry) => entry.name === name))
    .map(([name, exported]) => ({ source: name, firstParty: true, exported, config: {}, readable: [] }))

const readWith =
  (cluster: ClusterPort, namespace: string): ReadSecret =>
  async (name, key, signal) => {
    const secret = await cluster.get(secretKind, { namespace, name }, { signal })
    const value = secret?.data !== undefined && Object.hasOwn(secret.data, key) ? secret.data[key] : undefined
    return value === undefined ? undefined : Buffer.from(value, "base64").toString("utf8")
  }

/** Loads the configured and the built-in plugins. Throws PluginFailed or ConfigInvalid, which end the start. */
export const loadPlugins = async ({ config, cluster, ...deps }: PluginsDeps): Promise<PluginHost> => {
  const loaded: LoadedPlugin[] = unconfigured(config.plugins)
  for (const entry of config.plugins) loaded.push(await loadEntry(entry, deps.clock))
  const { namespace } = config.kubernetes
  const readSecret = cluster === undefined ? {} : { readSecret: readWith(cluster, namespace) }
  const host = await createPluginHost(loaded, { ...deps, ...readSecret })
  for (const { path } of config.plugins) if (path !== undefined) deps.telemetry.log.info("plugin loaded", { path })
  return host
}

/** The operator's settings from outside Kubernetes: its plugins, and the short names of the known issuers. */
export const outsideOf = (
  { podTemplates, template, faults }: Pick<PluginHost, "podTemplates" | "template" | "faults">,
  knownIssuers: readonly string[],
): OutsideSettings => ({ podTemplates, template, pluginFaults: faults, knownIssuers })

const sharerKinds = ["shared", "user", "role", "group"] as const

/**
 * The sharer of an instance as plugins get it: never the current caller, since several callers may share the instance.
 */
const sharerOf = ({ subjectKey, issuer, subject, identity, shared }: Holder): Sharer => {
  const kind = sharerKinds.find((each) => subjectKey === each || subjectKey.startsWith(`${each}:`)) ?? "key"
  if (kind === "shared" || kind === "key") return { kind, subjectKey }
  if (kind !== "user") return { kind, subjectKey, issuer, name: shared ?? "" }
  return { kind, subjectKey, issuer, name: subject, ...(identity === undefined ? {} : { identity }) }
}

/** Adapts the plugin host's secret resolvers to what the composition of credentials calls. */
export const resolveBy =
  ({ secret }: PluginHost): ResolveSecret =>
  ({ holder, ...request }) =>
    secret({ ...request, sharer: sharerOf(holder) })
