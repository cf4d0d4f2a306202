import { AppError } from "../errors.ts"
import type { SchemaIssue, SchemaResult, StandardSchema } from "./standard-schema.ts"

const pathOf = ({ path }: SchemaIssue): string =>
  (path ?? []).map((step) => String(typeof step === "object" ? step.key : step)).join(".")

/** What is wrong, without the value: a configuration may hold secrets. */
const problems = (issues: readonly SchemaIssue[]): string =>
  issues
    .slice(0, 5)
    .map((issue) => `${pathOf(issue) || "the whole"}: ${issue.message}`)
    .join("; ")

const settled = (result: SchemaResult<unknown>, where: string): unknown => {
  if (result.issues === undefined) return result.value
  throw new AppError("PluginFailed", { detail: `${where} is not what its schema wants: ${problems(result.issues)}.` })
}

/** A configuration as its schema yields it; as written without one. Throws PluginFailed with what is wrong at `where`. */
export const parseSettings = async (
  schema: StandardSchema | undefined,
  value: unknown,
  where: string,
): Promise<unknown> => (schema === undefined ? value : settled(await schema["~standard"].validate(value), where))

/** {@link parseSettings} for hooks that answer at once: their schemas must, too. */
export const parseSettingsNow = (schema: StandardSchema | undefined, value: unknown, where: string): unknown => {
  if (schema === undefined) return value
  const result = schema["~standard"].validate(value)
  if (!(result instanceof Promise)) return settled(result, where)
  throw new AppError("PluginFailed", {
    detail: `${where} has a schema that answers late: use one that answers at once.`,
  })
}
