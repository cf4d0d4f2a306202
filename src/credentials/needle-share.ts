import { createHash } from "node:crypto"
import { AppError } from "../errors.ts"
import { createShares, type Shares } from "../intake/bodies.ts"
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
   * The needles of values; end the lease when the log has been read. They count for the owner who asked first, whose
   * share is a quarter of all at most, and so it is with logs that are read at a time. Rejects with TooManyLogs beyond
   * it, and with the signal's reason.
   */
  take(owner: string, values: readonly string[], signal: AbortSignal): Promise<NeedleLease>
}

/** Bytes that all needles may have together. One set has 20 MiB at most, which is within the quarter that one owner gets. */
const defaultMostBytes = 128 * 2 ** 20
/** Logs that are read at a time: each has a connection to its reader, one to the API server, and what is on its way. */
const defaultMostLogs = 512
/** Values of so many UTF-16 units together are neither counted nor waited for: their needles cost what a reader does. */
const fewUnits = 512

type Entry = { readonly owner: string; readonly needles: Promise<Needles>; bytes: number; users: number }

const digestOf = (values: readonly string[]): string => {
  const hash = createHash("sha256")
  // a length in front keeps ["ab"] and ["a", "b"] apart
  for (const value of values) hash.update(`${value.length}:`).update(value)
  return hash.digest("base64")
}

const areFew = (values: readonly string[]): boolean => values.reduce((sum, { length }) => sum + length, 0) <= fewUnits

const tooMany = (detail: string): AppError => new AppError("TooManyLogs", { detail, retryAfterSeconds: 5 })

const tooManyBytes = (): AppError =>
  tooMany("The log cannot be masked now: long credentials, yours or of all, fill the memory for it.")

const tooManyLogs = (): AppError => tooMany("Too many logs are being read, by you or by all: end some of them.")

/** What gives back a place of an owner, once. */
const takePlace = (places: Shares, owner: string): (() => void) => {
  if (!places.take(owner, 1)) throw tooManyLogs()
  let held = true
  return () => {
    if (held) places.give(owner, 1)
    held = false
  }
}

/** Rejects with the signal's reason if it comes first. */
const orAborted = async <T>(promise: Promise<T>, signal: AbortSignal): Promise<T> => {
  signal.throwIfAborted()
  const aborted = Promise.withResolvers<never>()
  const abort = () => aborted.reject(signal.reason)
  signal.addEventListener("abort", abort, { once: true })
  try {
    return await Promise.race([promise, aborted.promise])
  } finally {
    signal.removeEventListener("abort", abort)
  }
}

/**
 * Makes a share for one process. Needles of long values are made one after the other, so that the memory of their making
 * is needed once, and live as long as somebody holds them.
 */
export const createNeedleShare = ({
  mostBytes = defaultMostBytes,
  mostLogs = defaultMostLogs,
}: {
  readonly mostBytes?: number
  readonly mostLogs?: number
} = {}): NeedleShare => {
  const entries = new Map<string, Entry>()
  const shares = createShares(mostBytes)
  const places = createShares(mostLogs)
  let last: Promise<unknown> = Promise.resolve()

  const makeInTurn = async (entry: Entry, values: readonly string[]): Promise<Needles> => {
    // those who asked may have gone while others were served
    if (entry.users === 0) throw tooManyBytes()
    const needles = await makeNeedles(values)
    if (entry.users === 0) return needles
    if (!shares.take(entry.owner, needles.bytes)) throw tooManyBytes()
    entry.bytes = needles.bytes
    return needles
  }
  const start = (key: string, owner: string, values: readonly string[]): Entry => {
    const { promise: needles, resolve } = Promise.withResolvers<Needles>()
    const entry: Entry = { owner, needles, bytes: 0, users: 0 }
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
    shares.give(entry.owner, entry.bytes)
    entry.bytes = 0
    if (entries.get(key) === entry) entries.delete(key)
  }
  return {
    take: async (owner, values, signal) => {
      const leavePlace = takePlace(places, owner)
      const key = digestOf(values)
      const entry = entries.get(key) ?? start(key, owner, values)
      entry.users++
      let held = true
      const end = (): void => {
        if (held) leave(key, entry)
        held = false
        leavePlace()
      }
      try {
        return { needles: await orAborted(entry.needles, signal), end }
      } catch (error) {
        end()
        throw error
      }
    },
  }
}
