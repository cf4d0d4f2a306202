/** Where lines for people go. */
export type Terminal = {
  /** True on a terminal: there, progress is one line that changes. */
  readonly isInteractive: boolean
  /** Writes a line (with its newline) above the progress. */
  line(text: string): void
  /** Shows `text` as the progress, in place of the one before; empty takes it away. Nothing happens elsewhere than on a terminal. */
  progress(text: string): void
}

/** The part of a stream that is needed. */
export type Output = { readonly isTTY?: boolean; readonly columns?: number; write(text: string): unknown }

/** To the beginning of the line, and empty to its end (ECMA-48 EL). */
const clear = "\r\u001b[K"

/** One stream for log lines and progress, so that neither garbles the other. */
export const createTerminal = (output: Output): Terminal => {
  const isInteractive = output.isTTY === true
  let shown = ""
  const cut = (text: string) => text.slice(0, Math.max((output.columns || 80) - 1, 20))
  return {
    isInteractive,
    line: (text) => {
      output.write(shown === "" ? text : `${clear}${text}${shown}`)
    },
    progress: (text) => {
      if (!isInteractive || (text === "" && shown === "")) return
      shown = cut(text)
      output.write(`${clear}${shown}`)
    },
  }
}
