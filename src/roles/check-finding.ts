/** What the preflight found of one thing. */
export type Finding = {
  /** What was looked at, e.g. `API server`. */
  readonly what: string
  readonly ok: boolean
  /** What is so. Never a secret. */
  readonly detail: string
  /** What to do, if it is not ok. */
  readonly help?: string
}

/** A finding as a line. */
export const findingText = ({ what, ok, detail, help }: Finding): string =>
  `${ok ? "ok    " : "FAILED"}  ${what}: ${detail}${help === undefined ? "" : ` → ${help}`}\n`
