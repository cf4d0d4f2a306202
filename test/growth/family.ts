/** A parser of untrusted text, with its worst cases. The rows of «Parsers of untrusted text» in docs/security.md. */
export type Door = {
  /** The row's name in docs/security.md, e.g. `body of an MCP request`. */
  readonly name: string
  /** The row's limit in docs/security.md, e.g. `4 MiB, 50,000 members, 100 levels`. */
  readonly limit: string
  readonly families: readonly Family[]
}

/**
 * A family of worst-case inputs, one for each size. What grows faster than its input is found by comparing one input of
 * the largest size with as many small ones as have the same bytes together: linear work costs the same.
 */
export type Family = {
  /** What kind of input it is, e.g. `a key of combining marks`. */
  readonly name: string
  /** Largest size that the door lets in, in whatever `make` takes as its unit. */
  readonly largest: number
  /** How often the largest is parted for the small inputs; default 64. Quadratic work then costs so much more. */
  readonly parts?: number
  /**
   * How often each input is read, default once: what costs microseconds can be measured only together. The event loop turns
   * between two of these, so that the longest turn is that of one input.
   */
  readonly times?: number
  /** Makes an input; not timed. Whatever it gives is read `times` times. */
  readonly make: (size: number) => Read
}

/** Reads the input. What it throws is an answer too: a refusal must be cheap as well. */
export type Read = () => unknown
