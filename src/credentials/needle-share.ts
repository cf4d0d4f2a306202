import { createHash } from "node:crypto"
import { AppError } from "../errors.ts"
import { createShares, type Shares } from "../intake/bodies.ts"
import { unlessAborted } from "../waiting/until-aborted.ts"
import { makeNeedles, type Needles } from "./needles.ts"

/** Needles in use. */
export type NeedleLease = {
  readonly needles: Needles
  /** Releases the needles. Calling it twice is harmless. */
  end(): void
}

/** Needles of secret values, shared by all log readers that mask the same values at the same time. */
export type NeedleShare = {
  /**
   * The needles of values; end the lease when the log has been read. Their bytes count for the owner who asked first.
   * One owner may hold at most a quarter of all bytes, and a quarter of all logs. Rejects with TooManyLogs beyond these
   * limits, and with the signal's reason.
   */
  take(owner: string, values: readonly string[], signal: AbortSignal): Promise<NeedleLease>
}

/** Most bytes of all needles together. One set has 20 MiB at most, which is within the quarter that one owner gets. */
const defaultMostBytes = 128 * 2 ** 20
/**
 * Most logs that are read at a time. Each has a connection to its reader, a connection to the API server, and buffers.
 */
const defaultMostLogs = 512
/**
 * Values of at most this many UTF-16 units together: their needles are so small that they are not counted or queued.
 */
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

/** Takes a place for an owner. The returned function gives it back, once. Throws TooManyLogs. */
const takePlace = (places: Shares, owner: string): (() => void) => {
  if (!places.take(owner, 1)) throw tooManyLogs()
  let held = true
  return () => {
    if (held) places.give(owner, 1)
    held = false
  }
}

/**
 * Makes a share for one process. Needles of long values are made one after the other, so that the memory for making
 * them is needed only once. They are kept until the last lease on them ends.
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
    // all who asked may have ended their lease while they were queued
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
        return { needles: await unlessAborted(entry.needles, signal), end }
      } catch (error) {
        end()
        throw error
      }
    },
  }
}
