/** What is logged of an error. Never its `data`, `headers` or other properties: they may hold what a caller sent. */
export type ErrorFields = {
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

/** Stack lines without the message, which stands by itself; of the deepest cause, where the fault is. */
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
export const errorFields = (error: Error): ErrorFields => {
  const causes = causesOf(error)
  const stack = stackOf(error)
  return {
    ...codeOf(error),
    message: error.message,
    ...(causes.length === 0 ? {} : { causes }),
    ...(stack === undefined ? {} : { stack }),
  }
}
