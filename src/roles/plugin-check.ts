import { systemClock as clock } from "../adapters/system/clock.ts"
import type { MCPInstance } from "../api/mcp-instance.ts"
import { type MCPTarget, MCPTargetSpec } from "../api/mcp-target.ts"
import type { Pod } from "../api/pod.ts"
import { configSchema } from "../config/schema.ts"
import { AppError, toAppError } from "../errors.ts"
import { takenBy } from "../operator/desired/freedoms.ts"
import { desiredPod } from "../operator/desired/pod.ts"
import type { PluginIdentity } from "../plugin/contract.ts"
import { createPluginHost, type PluginHost } from "../plugin/host.ts"
import { loadPluginFile } from "../plugin/load.ts"
import { settingsRefused } from "../plugin/settings.ts"
import { checkHooks, checkPlugin } from "../plugin/shape.ts"
import { createTelemetry } from "../telemetry/telemetry.ts"
import { type Finding, findingText } from "./check-finding.ts"
import { unconfigured } from "./plugins.ts"

/** What is checked, and where the lines go. */
export type PluginCheck = {
  readonly path: string
  /** The plugin's configuration. */
  readonly settings: unknown
  /** The configuration that a target gives its hooks. */
  readonly hookSettings: unknown
  readonly write: (line: string) => void
}

/** Somebody whom a strategy is asked about. */
const someone: PluginIdentity = {
  source: "jwt",
  issuer: "example",
  subject: "alice",
  email: "alice@example.com",
  groups: ["eng"],
  roles: ["dev"],
  scopes: ["mcp"],
  claims: { sub: "alice", email: "alice@example.com", groups: ["eng"], roles: ["dev"], tenant: "acme" },
}

const apiVersion = "mcp.reflow.io/v1alpha1"

type HookSettings = Record<string, unknown>

const someTarget = (strategy: string, config: HookSettings): MCPTarget => ({
  apiVersion,
  kind: "MCPTarget",
  metadata: { name: "example", namespace: "reflow", uid: "00000000-0000-0000-0000-000000000000", generation: 1 },
  spec: MCPTargetSpec.parse({ image: "example", port: 8080, subjectKey: { strategy, config } }),
})

const someInstance = (name: string, config: HookSettings): MCPInstance => ({
  apiVersion,
  kind: "MCPInstance",
  metadata: { name: "example-user-a", namespace: "reflow", uid: "00000000-0000-0000-0000-000000000001" },
  spec: {
    image: "example",
    port: 8080,
    targetName: "example",
    subjectKey: "user:a",
    podTemplates: [{ name, config }],
  },
})

/** The Pod of an instance before its templates, as the operator makes it. */
const podOf = (instance: MCPInstance): Pod => {
  const { kubernetes } = configSchema.parse({})
  const settings = {
    ...kubernetes,
    embedded: false,
    podTemplates: new Set<string>(),
    template: (pod: Pod) => pod,
    pluginFaults: () => [],
    knownIssuers: undefined,
  }
  return desiredPod({ instance, name: `${instance.metadata.name}-12345`, settings })
}

const describeTemplate = (host: PluginHost, instance: MCPInstance): string => {
  const { words, refused } = takenBy(host.template(podOf(instance), instance), instance)
  if (refused.length > 0)
    throw new AppError("PluginFailed", {
      detail: `It sets fields or values that nothing allows: ${refused.join(", ")}.`,
    })
  const needs = words.length === 0 ? "" : `, which needs kubernetes.allow_in_pods to have ${words.join(", ")}`
  return `makes a Pod of an example Pod${needs}`
}

const say = (what: string, error: unknown, help: string): Finding => {
  const { message, cause } = toAppError(error)
  const isNews = cause instanceof Error && !message.includes(cause.message)
  return { what, ok: false, detail: `${message}${isNews ? ` (${cause.message})` : ""}`, help }
}

/** A hook may refuse the configuration that it is asked with: then it was only loaded. */
const isAboutSettings = (error: unknown): boolean => toAppError(error).data?.reason === settingsRefused
const unasked = "is there; not called, since it needs another configuration of the target's: try --hook-settings"

const tryHook = async (what: string, call: () => unknown): Promise<Finding> => {
  try {
    return { what, ok: true, detail: String(await call()) }
  } catch (error) {
    if (isAboutSettings(error)) return { what, ok: true, detail: unasked }
    if (toAppError(error).code === "SubjectKeyDenied")
      return { what, ok: true, detail: `denies an example caller: ${toAppError(error).message}` }
    return say(what, error, "correct the hook")
  }
}

const describeKey = (key: string | undefined): string =>
  key === undefined ? "denies an example caller" : `gives an example caller a key of ${Buffer.byteLength(key)} bytes`

const tryHooks = async function* (
  host: PluginHost,
  name: string,
  hooks: ReturnType<typeof checkHooks>,
  config: HookSettings,
): AsyncGenerator<Finding> {
  for (const hook of Object.keys(hooks.subjectKeys ?? {}))
    yield await tryHook(`subject-key strategy ${name}/${hook}`, async () =>
      describeKey(await host.subjectKey(someTarget(`${name}/${hook}`, config), someone)),
    )
  for (const hook of Object.keys(hooks.secrets ?? {}))
    yield {
      what: `secret resolver ${hook}`,
      ok: true,
      detail: "is there; not called, since it would ask a real system",
    }
  for (const hook of Object.keys(hooks.podTemplates ?? {}))
    yield await tryHook(`pod template ${name}/${hook}`, () =>
      describeTemplate(host, someInstance(`${name}/${hook}`, config)),
    )
}

const silent = { level: "error", format: "text", write: () => {}, processMetrics: false } as const

const findings = async function* ({ path, settings: config, hookSettings }: PluginCheck): AsyncGenerator<Finding> {
  const exported = await loadPluginFile({ path }, clock)
  yield { what: "file", ok: true, detail: `${path} can be loaded` }
  const plugin = checkPlugin(exported, path)
  yield { what: "plugin", ok: true, detail: `${plugin.name}, contract ${plugin.api}` }
  let hooks: ReturnType<typeof checkHooks> = {}
  const setup: typeof plugin.setup = async (...given) => {
    hooks = checkHooks(await plugin.setup(...given), path)
    return hooks
  }
  const loaded = { source: path, firstParty: false, exported: { ...plugin, setup }, config, readable: [] }
  const host = await createPluginHost([...unconfigured([]), loaded], { clock, telemetry: createTelemetry(silent) })
  yield { what: "setup", ok: true, detail: "makes its hooks" }
  yield* tryHooks(host, plugin.name, hooks, hookSettings as HookSettings)
}

/** Loads a plugin as the program would, runs its hooks on examples and writes a line for each. Resolves with true if all is well. */
export const runPluginCheck = async (check: PluginCheck): Promise<boolean> => {
  let ok = true
  const tell = (finding: Finding): void => {
    ok &&= finding.ok
    check.write(findingText(finding))
  }
  try {
    for await (const finding of findings(check)) tell(finding)
  } catch (error) {
    tell(say("plugin", error, isAboutSettings(error) ? "give it with --settings" : "correct it and check again"))
  }
  return ok
}
