import type { Logger } from "../ports/telemetry.ts"

/** A role of this process, from its start to its end. */
export type RunningRole = {
  /** The role's own log. */
  readonly log: Logger
  /** Resolves with the address of its MCP endpoints once it serves; rejects with why it cannot. */
  readonly ready: Promise<{ readonly url: string }>
  /** Ends everything it started, in bounded time; may be called at any time and more than once. */
  close(): Promise<void>
}

/** What has been started and must be closed, in the order of the starts. */
export type Started = {
  /** Remembers how to close what was just started. Closes it at once if closing has begun meanwhile. */
  add(name: string, close: () => Promise<void> | void): Promise<void>
  /** Closes the last first; goes on after a failure, which `onError` gets. */
  close(): Promise<void>
}

/** Keeps what a role has started. */
export const createStarted = (onError: (name: string, error: unknown) => void): Started => {
  const closers: { readonly name: string; readonly close: () => Promise<void> | void }[] = []
  let closing: Promise<void> | undefined
  const closeOne = async ({ name, close }: (typeof closers)[number]): Promise<void> => {
    try {
      await close()
    } catch (error) {
      onError(name, error)
    }
  }
  const closeAll = async (): Promise<void> => {
    for (let last = closers.pop(); last !== undefined; last = closers.pop()) await closeOne(last)
  }
  return {
    add: async (name, close) => {
      closers.push({ name, close })
      if (closing === undefined) return
      await closing
      await closeAll()
    },
    close: () => {
      closing ??= closeAll()
      return closing
    },
  }
}
