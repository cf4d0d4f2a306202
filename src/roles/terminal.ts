/** Output of log lines and progress on one stream. */
export type Terminal = {
  /** True on a terminal, where progress is one line that is rewritten. */
  readonly isInteractive: boolean
  /** Writes a line (with its newline) above the progress. */
  line(text: string, urgent?: boolean): void
  /** Replaces the progress line with `text`; empty removes it. Does nothing if the output is not a terminal. */
  progress(text: string): void
}

/** The part of a writable stream (process.stdout, process.stderr) that is used. */
export type Output = {
  readonly isTTY?: boolean
  readonly columns?: number
  /** `urgent`: not to be held back; see src/telemetry/line-batch.ts. */
  write(text: string, urgent?: boolean): unknown
}

/** Moves to the beginning of the line and erases the line (ECMA-48 EL). */
const clear = "\r\u001b[K"

/** Creates a terminal on a stream. Log lines and progress must share it, else they would overwrite each other. */
export const createTerminal = (output: Output): Terminal => {
  const isInteractive = output.isTTY === true
  let shown = ""
  const cut = (text: string) => text.slice(0, Math.max((output.columns || 80) - 1, 20))
  return {
    isInteractive,
    line: (text, urgent) => {
      output.write(shown === "" ? text : `${clear}${text}${shown}`, urgent)
    },
    progress: (text) => {
      if (!isInteractive || (text === "" && shown === "")) return
      shown = cut(text)
      output.write(`${clear}${shown}`)
    },
  }
}
