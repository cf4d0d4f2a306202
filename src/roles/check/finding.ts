/** What the preflight found of one thing. */
export type Finding = {
  /** What was looked at, e.g. `API server`. */
  readonly what: string
  readonly ok: boolean
  /** True if it works but is probably not meant; fails nothing. */
  readonly doubtful?: boolean
  /** What is so. Never a secret. */
  readonly detail: string
  /** What to do, if it is not ok or doubtful. */
  readonly help?: string
}

/** A finding as a line. */
export const findingText = ({ what, ok, doubtful, detail, help }: Finding): string =>
  `${ok ? (doubtful ? "warn  " : "ok    ") : "FAILED"}  ${what}: ${detail}${help === undefined ? "" : ` → ${help}`}\n`
