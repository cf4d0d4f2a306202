/** What is logged of an error. Never its `data`, `headers` or other properties: they may hold what a caller sent. */
type ErrorFields = {
  readonly code?: string
  readonly message: string
  readonly stack?: string
  /** The errors that caused it, the nearest first. */
  readonly causes?: readonly { readonly code?: string; readonly message: string }[]
}

const maxCauses = 5

const codeOf = (error: Error): { readonly code?: string } => {
  const code = "code" in error ? error.code : undefined
  if (typeof code === "string" || typeof code === "number") return { code: String(code) }
  return error.name === "Error" ? {} : { code: error.name }
}

const fact = (cause: unknown) =>
  cause instanceof Error
    ? { ...codeOf(cause), message: cause.message }
    : { message: typeof cause === "string" ? cause : typeof cause }

const causesOf = (error: Error): readonly { readonly code?: string; readonly message: string }[] => {
  const causes = []
  let cause = error.cause
  while (cause !== undefined && causes.length < maxCauses) {
    causes.push(fact(cause))
    cause = cause instanceof Error ? cause.cause : undefined
  }
  return causes
}

/** At most ten stack lines of the deepest cause, where the fault is, without the message, which has its own field. */
const stackOf = (error: Error): string | undefined => {
  let deepest = error
  for (let depth = 0; depth < maxCauses && deepest.cause instanceof Error; depth++) deepest = deepest.cause
  const lines = deepest.stack?.split("\n").filter((line) => /^\s+at /.test(line)) ?? []
  return lines.length === 0
    ? undefined
    : lines
        .slice(0, 10)
        .map((line) => line.trim())
        .join("\n")
}

/** The facts of an error for a log line. */
const errorFields = (error: Error): ErrorFields => {
  const causes = causesOf(error)
  const stack = stackOf(error)
  return {
    ...codeOf(error),
    message: error.message,
    ...(causes.length === 0 ? {} : { causes }),
    ...(stack === undefined ? {} : { stack }),
  }
}

/** Field names whose values are never written; compared without case, `-` and `_`. */
const secretNames = new Set([
  "accesstoken",
  "apikey",
  "assertion",
  "authorization",
  "body",
  "clientsecret",
  "cookie",
  "credentials",
  "data",
  "env",
  "headers",
  "idtoken",
  "mcpsessionid",
  "passphrase",
  "password",
  "privatekey",
  "proxyauthorization",
  "refreshtoken",
  "secret",
  "secrets",
  "setcookie",
  "stringdata",
  "token",
  "tokens",
])

/** Replaces a removed value. */
const mark = "[redacted]"

/** Credentials inside texts, besides JWTs: bearer and basic headers, passwords in URLs. */
const secretTexts: readonly (readonly [RegExp, string])[] = [
  [/\b(Bearer|Basic)\s+[\w.~+/=-]{8,}/gi, `$1 ${mark}`],
  [/(\w:\/\/[^/\s:@]*):[^/\s@]+@/g, `$1:${mark}@`],
]

/**
 * Removes JWTs from a run of letters, digits, dots, `_` and `-`: three parts, of which the first begins with `{"` in
 * base64url. One expression for all three parts would start again at each `-eyJ`, in quadratic time.
 */
const hideTokens = (run: string): string => {
  const parts = run.split(".")
  const shown: string[] = []
  for (let at = 0; at < parts.length; at++) {
    const [part = "", payload = "", signature] = parts.slice(at, at + 3)
    const begin = payload.length < 8 || signature === undefined ? -1 : part.search(/\beyJ[\w-]{8}/)
    shown.push(begin < 0 ? part : `${part.slice(0, begin)}${mark}`)
    if (begin >= 0) at += 2
  }
  return shown.join(".")
}

const maxDepth = 5
/** Most fields of an object, and elements of a list, that are written. */
export const maxItems = 50
/** Most characters of a text that are written. */
export const maxText = 4_096

/** A part of every text from which something is removed: most texts have none, and are written as they are. */
export const suspicious = /eyJ|:\/\/|\b(?:Bearer|Basic)\s/i

/** `text` without credentials, at most 4,096 characters of it. */
export const redactText = (text: string): string => {
  const short = text.length > maxText ? `${text.slice(0, maxText)}…` : text
  if (!suspicious.test(short)) return short
  const open = secretTexts.reduce((result, [pattern, replacement]) => result.replace(pattern, replacement), short)
  return open.replace(/[\w.-]+/g, hideTokens)
}

/** Most field names whose check is remembered: those of our own lines are few, those of foreign objects are not. */
export const rememberedNames = 1_000
const isSecret = new Map<string, boolean>()

/** True if the value of a field with this name is never written. */
export const isSecretName = (name: string): boolean => {
  const known = isSecret.get(name)
  if (known !== undefined) return known
  const secret = secretNames.has(name.replace(/[-_]/g, "").toLowerCase())
  if (isSecret.size < rememberedNames && name.length <= 64) isSecret.set(name, secret)
  return secret
}

/** Adds the fields to a line, at most {@link maxItems}. */
export const redactInto = (line: Record<string, unknown>, fields: object, depth: number): void => {
  let left = maxItems
  for (const name of Object.keys(fields)) {
    if (left-- === 0) return
    const value: unknown = fields[name as keyof typeof fields]
    // the setter of __proto__ would change the prototype instead
    if (value === undefined || name === "__proto__") continue
    line[name] = isSecretName(name) ? mark : redactValue(value, depth + 1)
  }
}

const redactEntries = (fields: object, depth: number): Record<string, unknown> => {
  const redacted: Record<string, unknown> = {}
  redactInto(redacted, fields, depth)
  return redacted
}

/** A value that may be written: bounded in depth and size, without credentials, errors as their facts. */
const redactValue = (value: unknown, depth: number): unknown => {
  if (typeof value === "string") return redactText(value)
  if (typeof value === "bigint") return value.toString()
  if (typeof value === "function" || typeof value === "symbol") return undefined
  if (typeof value !== "object" || value === null) return value
  if (value instanceof Error) return redactEntries(errorFields(value), depth)
  if (value instanceof URL) return redactText(value.href)
  if (depth >= maxDepth) return "…"
  if (Array.isArray(value)) return value.slice(0, maxItems).map((each) => redactValue(each, depth + 1))
  return redactEntries(value, depth)
}

/** Fields of a line without secrets. This is the second protection: callers must not log secrets in the first place. */
export const redactFields = (fields: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  redactEntries(fields, 0)
