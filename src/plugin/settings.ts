import { AppError } from "../errors.ts"
import { badAnswer, type CallLimits, type CallName, callPlugin, callPluginNow } from "./call.ts"
import type { SchemaIssue, SchemaResult, StandardSchema } from "./standard-schema.ts"

/** What a configuration is for, and where it stands. */
export type SettingsOf = {
  readonly name: CallName
  /** E.g. `spec.subjectKey.config of files`. */
  readonly where: string
}

const pathOf = ({ path }: SchemaIssue): string =>
  (path ?? []).map((step) => String(typeof step === "object" ? step.key : step)).join(".")

/** What is wrong, without the value: a configuration may hold secrets. */
const problems = (issues: readonly SchemaIssue[]): string =>
  issues
    .slice(0, 5)
    .map((issue) => `${pathOf(issue) || "the whole"}: ${issue.message}`)
    .join("; ")

const settled = (result: SchemaResult<unknown>, { name, where }: SettingsOf): unknown => {
  if (typeof result !== "object" || result === null) throw badAnswer(name, "has a schema that gives no result")
  if (result.issues === undefined) return result.value
  const whose = `the schema of ${name.hook === "setup" ? "" : `the hook ${name.hook} of `}the plugin ${name.plugin}`
  throw new AppError("PluginFailed", {
    detail: `${where} is not what ${whose} wants: ${problems(result.issues)}.`,
    data: { ...name, reason: settingsRefused },
  })
}

/** In an error's data: it is not the plugin that is wrong, but what it was configured with. */
export const settingsRefused = "SettingsRefused"

/** A configuration as its schema yields it; as written without one. Throws PluginFailed with what is wrong. */
export const parseSettings = async (
  schema: StandardSchema | undefined,
  value: unknown,
  of: SettingsOf,
  limits: CallLimits,
): Promise<unknown> =>
  schema === undefined
    ? value
    : settled(await callPlugin(of.name, limits, () => schema["~standard"].validate(value)), of)

/** {@link parseSettings} for hooks that answer at once: their schemas must, too. */
export const parseSettingsNow = (schema: StandardSchema | undefined, value: unknown, of: SettingsOf): unknown => {
  if (schema === undefined) return value
  const result = callPluginNow(of.name, () => schema["~standard"].validate(value))
  if (!(result instanceof Promise)) return settled(result, of)
  result.catch(() => {})
  throw badAnswer(of.name, "has a schema that answers late: use one that answers at once")
}
