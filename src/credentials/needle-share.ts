import { createHash } from "node:crypto"
import { AppError } from "../errors.ts"
import { makeNeedles, type Needles } from "./needles.ts"

/** Needles in use. */
export type NeedleLease = {
  readonly needles: Needles
  /** Lets go of them. Calling it twice is harmless. */
  end(): void
}

/** Needles of secret values, shared by all who mask the same values at a time. */
export type NeedleShare = {
  /**
   * The needles of values; end the lease. Rejects with TooManyLogs while others hold too many, and with the signal's
   * reason.
   */
  take(values: readonly string[], signal: AbortSignal): Promise<NeedleLease>
}

/** Bytes that all needles may have together; one set may go beyond it, by 20 MiB at most. */
const defaultMostBytes = 64 * 2 ** 20
/** Values of so many UTF-16 units together are neither counted nor waited for: their needles cost what a connection does. */
const fewUnits = 512

type Entry = { readonly needles: Promise<Needles>; bytes: number; users: number }

const digestOf = (values: readonly string[]): string => {
  const hash = createHash("sha256")
  // a length in front keeps ["ab"] and ["a", "b"] apart
  for (const value of values) hash.update(`${value.length}:`).update(value)
  return hash.digest("base64")
}

const areFew = (values: readonly string[]): boolean => values.reduce((sum, { length }) => sum + length, 0) <= fewUnits

const tooMany = (): AppError =>
  new AppError("TooManyLogs", {
    detail: "The log cannot be masked now: the long credentials of others fill the memory for it.",
    retryAfterSeconds: 5,
  })

/**
 * Makes a share for one process. Needles of long values are made one after the other, so that the memory of their making
 * is needed once, and live as long as somebody holds them.
 */
export const createNeedleShare = ({
  mostBytes = defaultMostBytes,
}: {
  readonly mostBytes?: number
} = {}): NeedleShare => {
  const entries = new Map<string, Entry>()
  let heldBytes = 0
  let last: Promise<unknown> = Promise.resolve()

  const makeInTurn = async (entry: Entry, values: readonly string[]): Promise<Needles> => {
    // those who asked may have gone while others were served
    if (entry.users === 0 || heldBytes >= mostBytes) throw tooMany()
    const needles = await makeNeedles(values)
    entry.bytes = entry.users === 0 ? 0 : needles.bytes
    heldBytes += entry.bytes
    return needles
  }
  const start = (key: string, values: readonly string[]): Entry => {
    const { promise: needles, resolve } = Promise.withResolvers<Needles>()
    const entry: Entry = { needles, bytes: 0, users: 0 }
    if (areFew(values)) resolve(makeNeedles(values))
    else {
      resolve(last.then(() => makeInTurn(entry, values)))
      last = needles.catch(() => {})
    }
    entries.set(key, entry)
    return entry
  }
  const leave = (key: string, entry: Entry): void => {
    if (--entry.users > 0) return
    heldBytes -= entry.bytes
    entry.bytes = 0
    if (entries.get(key) === entry) entries.delete(key)
  }
  return {
    take: async (values, signal) => {
      const key = digestOf(values)
      const entry = entries.get(key) ?? start(key, values)
      entry.users++
      let held = true
      const end = (): void => {
        if (held) leave(key, entry)
        held = false
      }
      const aborted = Promise.withResolvers<never>()
      const abort = () => aborted.reject(signal.reason)
      signal.addEventListener("abort", abort, { once: true })
      try {
        signal.throwIfAborted()
        return { needles: await Promise.race([entry.needles, aborted.promise]), end }
      } catch (error) {
        end()
        throw error
      } finally {
        signal.removeEventListener("abort", abort)
      }
    },
  }
}
