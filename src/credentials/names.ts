import { envNamePattern } from "../api/kinds/container.ts"
import type { MCPTarget } from "../api/kinds/mcp-target.ts"
import { findRemoteFaults } from "../api/remote-declarations.ts"
import { AppError } from "../errors.ts"

/** Longest value, in bytes of UTF-8. */
export const maxValueBytes = 64 * 1024
/** Most bytes of all names and values of one instance or scope together. */
export const maxTotalBytes = 512 * 1024

/** One broken rule, as the error's data has it. Never holds a value. */
export type FieldError = { readonly path: string; readonly rule: string; readonly message: string }

const refused: readonly RegExp[] = [/^PORT$/, /^PATH$/, /^HOME$/, /^LD_/, /^NODE_OPTIONS$/, /_PROXY$/i]

/** True for a name that would change how the process starts or where it connects, rather than give it a credential. */
const isRefusedName = (name: string): boolean => refused.some((pattern) => pattern.test(name))

const isDeclared = (target: MCPTarget, name: string): boolean =>
  target.spec.credentials?.some((credential) => credential.name === name) === true

const isPlainEnv = (target: MCPTarget, name: string): boolean =>
  target.spec.env?.some((variable) => variable.name === name) === true

/**
 * Rules that depend on the caller. `declaredOnly`: only names in the target's `credentials` are allowed, as for users.
 */
export type NameRules = { readonly declaredOnly?: boolean }

const nameError = (name: string, rule: string, message: string): FieldError[] => [
  { path: `values.${name.slice(0, 256)}`, rule, message },
]

/** Checks a name for any target; the only check for names that are removed. Empty if it is valid. */
export const findNameErrors = (name: string): FieldError[] =>
  name.length > 256 || !envNamePattern.test(name)
    ? nameError(name, "pattern", "must be letters, digits and '_', not beginning with a digit, at most 256 characters")
    : []

const nameErrors = (target: MCPTarget, name: string, rules: NameRules): FieldError[] => {
  const error = (rule: string, message: string): FieldError[] => nameError(name, rule, message)
  const wrong = findNameErrors(name)
  if (wrong.length > 0) return wrong
  if (isRefusedName(name)) return error("refused", "changes how the process runs and cannot be a credential")
  if (isPlainEnv(target, name)) return error("duplicate", "the target sets this name in its env already")
  if (rules.declaredOnly === true && !isDeclared(target, name))
    return error("undeclared", "is none of the names in the target's credentials")
  return []
}

const valueErrors = (name: string, value: string): FieldError[] => {
  const error = (rule: string, message: string): FieldError[] => [
    { path: `values.${name.slice(0, 256)}`, rule, message },
  ]
  if (Buffer.byteLength(value) > maxValueBytes) return error("size", `must be at most ${maxValueBytes} bytes`)
  if (!value.isWellFormed()) return error("unicode", "must be valid Unicode")
  if (value.includes("\0")) return error("nul", "must not contain a NUL character")
  return []
}

const totalErrors = (values: Readonly<Record<string, string>>): FieldError[] => {
  const total = Object.entries(values).reduce(
    (sum, [name, value]) => sum + Buffer.byteLength(name) + Buffer.byteLength(value),
    0,
  )
  return total > maxTotalBytes
    ? [{ path: "values", rule: "total", message: `must be at most ${maxTotalBytes} bytes together` }]
    : []
}

/** Every rule that `values` break as credentials of a target; empty if all hold. */
export const findValueErrors = (
  target: MCPTarget,
  values: Readonly<Record<string, string>>,
  rules: NameRules = {},
): FieldError[] => [
  ...Object.entries(values).flatMap(([name, value]) => [
    ...nameErrors(target, name, rules),
    ...valueErrors(name, value),
  ]),
  ...totalErrors(values),
]

/**
 * Checks credential values for a target.
 * @throws ValidationFailed with one entry per broken rule in `data.errors`; values are never repeated.
 */
export const checkValues = (
  target: MCPTarget,
  values: Readonly<Record<string, string>>,
  rules: NameRules = {},
): void => {
  const errors = findValueErrors(target, values, rules)
  if (errors.length === 0) return
  throw new AppError("ValidationFailed", {
    detail: `${errors.length === 1 ? "One credential is" : `${errors.length} credentials are`} not acceptable.`,
    data: { errors },
  })
}

/**
 * Checks what a target says of its own credentials: finds names that are refused or that its `env` sets too, and names
 * in headers of a remote server that it does not declare; also a URL without a host. Paths are relative to the target's
 * spec.
 */
export const findDeclarationErrors = (spec: MCPTarget["spec"]): FieldError[] => {
  const { env = [], credentials = [], secrets = [] } = spec
  const plain = new Set(env.map((variable) => variable.name))
  const check = (path: string, name: string): FieldError[] => {
    if (isRefusedName(name))
      return [{ path, rule: "refused", message: `${name} changes how the process runs and cannot be a credential` }]
    return plain.has(name)
      ? [{ path, rule: "duplicate", message: `${name} is set in env too; keep it in one place` }]
      : []
  }
  return [
    ...credentials.flatMap(({ name }, index) => check(`credentials[${index}].name`, name)),
    ...secrets.flatMap(({ name }, index) => check(`secrets[${index}].name`, name)),
    ...findRemoteFaults(spec),
  ]
}
