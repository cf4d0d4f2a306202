/** What is written, and how. */
export type SaverInput = {
  /** The whole as it is now. */
  readonly text: () => string
  /** Writes the whole. Called once at a time. */
  readonly write: (text: string) => Promise<void>
  /** Hears of a write that failed; the next change tries again. */
  readonly onError: (error: unknown) => void
}

/** Writes a text whenever it has changed: one write at a time, the newest state only, and nothing if it is equal. */
export type Saver = {
  /** Something may have changed. */
  touch(): void
  /** Resolves when everything that was touched before has been written, or could not be. Never rejects. */
  settled(): Promise<void>
}

/** Makes a saver that has written nothing yet. */
export const createSaver = ({ text, write, onError }: SaverInput): Saver => {
  let written: string | undefined
  let touched = false
  let running: Promise<void> | undefined

  const once = async (): Promise<void> => {
    touched = false
    const next = text()
    if (next === written) return
    try {
      await write(next)
      written = next
    } catch (error) {
      written = undefined
      onError(error)
    }
  }
  const work = async (): Promise<void> => {
    // many changes of one turn are one write
    await Promise.resolve()
    while (touched) await once()
    running = undefined
  }
  return {
    touch: () => {
      touched = true
      running ??= work()
    },
    settled: () => running ?? Promise.resolve(),
  }
}
