import { stringify } from "yaml"
import { systemClock as clock } from "../../adapters/system/clock.ts"
import type { MCPInstance } from "../../api/kinds/mcp-instance.ts"
import type { Caller } from "../../cli/caller.ts"
import { AppError, toAppError } from "../../errors.ts"
import { takenBy } from "../../operator/desired/permissions.ts"
import { shapeFaults } from "../../operator/desired/pod-shape.ts"
import { cleanReason } from "../../plugin/call.ts"
import { createPluginHost, type PluginHost } from "../../plugin/host.ts"
import { loadPluginFile } from "../../plugin/load.ts"
import type { ReadSecret } from "../../plugin/registry.ts"
import { checkHooks, checkPlugin, settingsRefused } from "../../plugin/shape.ts"
import { createTelemetry } from "../../telemetry/telemetry.ts"
import { unconfigured } from "../plugins.ts"
import { type Finding, findingText } from "./finding.ts"
import {
  exampleInstance,
  exampleTarget,
  type HookSettings,
  identityFor,
  isDescribed,
  podOf,
  sharerFor,
} from "./plugin-examples.ts"

/** What `reflow plugin check` checks, as the command line gives it. */
export type PluginCheck = {
  readonly path: string
  /** The plugin's configuration. */
  readonly settings: unknown
  /** The configuration that a target gives its hooks. */
  readonly hookSettings: unknown
  /** The caller that the hooks get; an example if the command line does not describe one. */
  readonly caller: Caller
  /** References for its secret resolvers: the variable that the value would become, and `scheme:reference`. */
  readonly references: readonly { readonly name: string; readonly from: string }[]
  /** True: also print subject keys, names of secrets and Pods. */
  readonly print: boolean
}

/** Output of the check: `write` gets the lines, `begin` gets the name of each step before it runs. */
type PluginCheckOutput = {
  readonly write: (line: string) => void
  readonly begin?: (what: string) => void
}

/** A finding, and the text that is printed below it. */
type Tried = Finding & { readonly printed?: string }

/** Everything that a step needs. `whose` is "the caller" or "an example caller" in messages. */
type Trial = PluginCheck & { readonly host: PluginHost; readonly plugin: string; readonly whose: string }

type Step = { readonly what: string; readonly help?: string; readonly run: () => Promise<Omit<Tried, "what" | "ok">> }

/** Maximum number of faults of a Pod that a finding names. */
const mostFaults = 10

const refuse = (sentence: string): never => {
  throw new AppError("PluginFailed", { detail: sentence })
}

const list = (faults: readonly string[]): string =>
  `${faults.slice(0, mostFaults).join("; ")}${faults.length > mostFaults ? `; and ${faults.length - mostFaults} more` : ""}`

const tryTemplate = ({ host, print }: Trial, instance: MCPInstance): Omit<Tried, "what" | "ok"> => {
  const bare = podOf({ ...instance, spec: { ...instance.spec, podTemplates: [] } })
  const made = host.template(bare, instance)
  const { permissions, refused } = takenBy(made, instance)
  const faults = shapeFaults(made)
  const sentences = [
    ...(refused.length === 0 ? [] : [`It sets fields or values that nothing allows: ${list(refused)}.`]),
    ...(faults.length === 0 ? [] : [`It makes a Pod that Kubernetes refuses: ${list(faults)}.`]),
  ]
  if (sentences.length > 0) refuse(sentences.join(" "))
  const needs =
    permissions.length === 0 ? "" : `, which needs kubernetes.allow_in_pods to have ${permissions.join(", ")}`
  const pod = podOf(instance, () => made)
  return { detail: `makes a Pod of an example Pod${needs}`, ...(print ? { printed: stringify(pod) } : {}) }
}

const tryKey = async ({ host, hookSettings, caller, print, whose }: Trial, strategy: string) => {
  const config = hookSettings as HookSettings
  const key = await host.subjectKey(exampleTarget({ subjectKey: { strategy, config } }), identityFor(caller))
  if (key === undefined) return { detail: `denies ${whose}` }
  const detail = `gives ${whose} a key of ${Buffer.byteLength(key)} bytes`
  return { detail, ...(print ? { printed: `key: ${JSON.stringify(key)}\n` } : {}) }
}

const trySecret = async ({ host, caller, print, whose }: Trial, name: string, from: string) => {
  const secrets = [{ name, from }]
  const request = { target: exampleTarget({ secrets }), name, from, signal: new AbortController().signal }
  const { expiresAt } = await host.secret({ ...request, sharer: sharerFor(identityFor(caller)) })
  const until = expiresAt === undefined ? "" : `, of use until ${new Date(expiresAt).toISOString()}`
  return { detail: `gives ${whose} a value${until}`, ...(print ? { printed: `name: ${name}\n` } : {}) }
}

const uncalled = (scheme: string): Step => ({
  what: `secret resolver ${scheme}`,
  run: async () => ({
    detail: `is there; not called, since it would ask a real system: try --reference ${scheme}:REFERENCE`,
  }),
})

const stepsOf = (trial: Trial, hooks: ReturnType<typeof checkHooks>): readonly Step[] => {
  const { plugin, references, hookSettings } = trial
  const schemes = Object.keys(hooks.secrets ?? {})
  const asked = (scheme: string) => references.filter(({ from }) => from.startsWith(`${scheme}:`))
  return [
    ...Object.keys(hooks.subjectKeys ?? {}).map((hook) => ({
      what: `subject-key strategy ${plugin}/${hook}`,
      run: () => tryKey(trial, `${plugin}/${hook}`),
    })),
    ...schemes.flatMap((scheme) =>
      asked(scheme).length === 0
        ? [uncalled(scheme)]
        : asked(scheme).map(({ name, from }) => ({
            what: `secret resolver ${from}`,
            run: () => trySecret(trial, name, from),
          })),
    ),
    ...references
      .filter(({ from }) => !schemes.some((scheme) => from.startsWith(`${scheme}:`)))
      .map(({ from }) => ({
        what: `reference ${from}`,
        help: "correct the scheme of --reference",
        run: async () =>
          refuse(`The plugin has no resolver for it${schemes.length === 0 ? "" : `, but for ${schemes.join(", ")}`}.`),
      })),
    ...Object.keys(hooks.podTemplates ?? {}).map((hook) => ({
      what: `pod template ${plugin}/${hook}`,
      run: async () => tryTemplate(trial, exampleInstance(`${plugin}/${hook}`, hookSettings as HookSettings)),
    })),
  ]
}

/** `, at FILE:LINE:COLUMN` of the first stack frame in the plugin's own files; empty if there is none. */
const placeOf = (cause: Error): string => {
  const frame = cause.stack?.split("\n").find((line) => /^\s+at .*file:/.test(line) && !line.includes("node_modules"))
  const [, place] = /file:\/\/([^)\s]+)/.exec(frame ?? "") ?? []
  return place === undefined ? "" : `, at ${place}`
}

const failure = (what: string, error: unknown, help: string): Finding => {
  const { message, cause } = toAppError(error)
  // text of the plugin: it must not contain terminal escapes or line breaks that look like lines of the check
  const reason = cause instanceof Error ? cleanReason(String(cause.message)) : ""
  const isNews = cause instanceof Error && !message.includes(reason)
  return { what, ok: false, detail: `${message}${isNews ? ` (${reason}${placeOf(cause)})` : ""}`, help }
}

/**
 * True if the hook's schema refused the configuration of --hook-settings: the hook was not called, which is no failure.
 */
const isAboutSettings = (error: unknown): boolean => toAppError(error).data?.reason === settingsRefused
const unasked = "is there; not called, since it needs another configuration of the target's: try --hook-settings"

/** Errors that a hook may throw by contract, as verbs for the finding. */
const words: Readonly<Record<string, string>> = {
  SubjectKeyDenied: "denies",
  CredentialMissing: "has no value for",
}

const tryStep = async ({ what, help = "correct the hook", run }: Step, whose: string): Promise<Tried> => {
  try {
    return { what, ok: true, ...(await run()) }
  } catch (error) {
    if (isAboutSettings(error)) return { what, ok: true, detail: unasked }
    const { code, message } = toAppError(error)
    const word = words[code]
    if (word === undefined) return failure(what, error, help)
    return { what, ok: true, detail: `${word} ${whose}${message === "" ? "" : `: ${message}`}` }
  }
}

/** Allows every name of a Secret, since the check has no plugins[].secrets; the read itself fails, see below. */
const everything = { includes: () => true }
const readNothing: ReadSecret = async (name) =>
  refuse(`It reads the Secret '${name.slice(0, 64)}', and a check has no cluster: try it with --role dev.`)

const silent = { level: "error", format: "text", write: () => {}, processMetrics: false } as const

const findings = async function* (
  check: PluginCheck,
  begin: NonNullable<PluginCheckOutput["begin"]>,
): AsyncGenerator<Tried> {
  const { path, settings: config } = check
  begin(`file ${path}`)
  const exported = await loadPluginFile({ path }, clock)
  yield { what: "file", ok: true, detail: `${path} can be loaded` }
  const plugin = checkPlugin(exported, path)
  yield { what: "plugin", ok: true, detail: `${plugin.name}, contract ${plugin.api}` }
  let hooks: ReturnType<typeof checkHooks> = {}
  const setup: typeof plugin.setup = async (...given) => {
    hooks = checkHooks(await plugin.setup(...given), path)
    return hooks
  }
  begin("setup")
  const loaded = { source: path, firstParty: false, exported: { ...plugin, setup }, config, readable: everything }
  const telemetry = createTelemetry(silent)
  const host = await createPluginHost([...unconfigured([]), loaded], { clock, telemetry, readSecret: readNothing })
  yield { what: "setup", ok: true, detail: "makes its hooks" }
  const whose = isDescribed(check.caller) ? "the caller" : "an example caller"
  for (const step of stepsOf({ ...check, host, plugin: plugin.name, whose }, hooks)) {
    begin(step.what)
    yield await tryStep(step, whose)
  }
}

const indent = (text: string): string => text.replaceAll(/^(?=.)/gm, "        ")

/**
 * Loads a plugin as the gateway does, runs its hooks with example input and writes a line for each. Resolves with true
 * if there is no failure.
 */
export const runPluginCheck = async (
  check: PluginCheck,
  { write, begin = () => {} }: PluginCheckOutput,
): Promise<boolean> => {
  let ok = true
  const report = (tried: Tried): void => {
    ok &&= tried.ok
    write(`${findingText(tried)}${tried.printed === undefined ? "" : indent(tried.printed)}`)
  }
  try {
    for await (const tried of findings(check, begin)) report(tried)
  } catch (error) {
    report(failure("plugin", error, isAboutSettings(error) ? "give it with --settings" : "correct it and check again"))
  }
  return ok
}
