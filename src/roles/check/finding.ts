/** One result of a check. */
export type Finding = {
  /** What was checked, e.g. `API server`. */
  readonly what: string
  readonly ok: boolean
  /** True if it works but is probably a mistake: a warning, not a failure. */
  readonly doubtful?: boolean
  /** The result as text. Never contains a secret. */
  readonly detail: string
  /** What to do, for a failure or a warning. */
  readonly help?: string
}

/** A finding as a line with its newline: `ok`, `warn` or `FAILED`, then `what: detail → help`. */
export const findingText = ({ what, ok, doubtful, detail, help }: Finding): string =>
  `${ok ? (doubtful ? "warn  " : "ok    ") : "FAILED"}  ${what}: ${detail}${help === undefined ? "" : ` → ${help}`}\n`
