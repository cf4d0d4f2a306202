import type { MCPTarget } from "../../api/kinds/mcp-target.ts"
import { AppError, hasCode } from "../../errors.ts"
import { type ClockPort, leftOf } from "../../ports/clock.ts"
import { changeAnnotation, changeBetween } from "../../signals/credentials-changed.ts"
import { realSignal, type Signal } from "../../waiting/in-progress.ts"
import { unlessAborted } from "../../waiting/until-aborted.ts"
import type { Seat } from "../visit.ts"
import { type Composed, hasSameServer, isCurrent } from "./composed.ts"
import type { Followers } from "./followers.ts"
import { freshnessOf } from "./freshness.ts"

/** Longest composition, milliseconds. */
const composeMs = 30_000
/** Time between two searches for values that nobody uses any more, milliseconds. */
const sweepMs = 60_000
/** How long an error is repeated before it is looked for again, milliseconds. */
const errorMs = 5_000
/** Most sharers whose values are kept; the one that was composed first is forgotten first. */
const mostEntries = 10_000

/** A request for the values of one sharer. */
export type Wish = { readonly target: MCPTarget; readonly seat: Seat; readonly requestId?: string | undefined }

/** Composes the values of a wish; rejects with what composition and the cluster throw. */
type ComposeFor = (wish: Wish, signal: AbortSignal) => Promise<Composed>

type CompositionsDeps = {
  readonly clock: ClockPort
  readonly compose: ComposeFor
  /** True while nothing is heard of the API server. */
  readonly isAway: () => boolean
  /** Who is told when the values of a sharer change. */
  readonly followers: Followers
  /** Aborted at the end of the process. */
  readonly signal: AbortSignal
}

/** The sharer of a seat, for {@link Followers}. */
export const sharerOf = ({ name, scopes }: Seat): string => `${name} ${scopes}`

type Failure = { readonly target: MCPTarget; readonly error: unknown; readonly at: number }

/** The values of one sharer of one target. */
class Entry {
  readonly sharer: string
  /** The change annotations of the scope Secrets that are read, present or not. */
  readonly scopes: readonly string[]
  composed: Composed | undefined
  failure: Failure | undefined
  /** The composition that is in progress. */
  running: Promise<Composed> | undefined
  /** The composition that begins after the one that is in progress. */
  next: Promise<Composed> | undefined
  /** Raised when the values change: a composition that began before is not used. */
  version = 0
  /** False once the entry was removed: changes would not reach it. */
  isKept = true

  constructor(seat: Seat) {
    this.sharer = sharerOf(seat)
    this.scopes = seat.scopes.split(",").map(changeAnnotation)
  }
}

const tooSlow = (): AppError =>
  new AppError("ClusterUnavailable", {
    detail: "The credentials could not be read in time.",
    retryAfterSeconds: 5,
    data: { slow: true },
  })

/** True if the API server does not answer. A composition that takes half a minute waits for a plugin, not for it. */
const isOutage = (error: unknown): boolean =>
  hasCode(error, "ClusterUnavailable", "ApiTooManyRequests") && error.data?.slow !== true

/**
 * Keeps the credentials of remote servers' sharers in memory, for minutes, in an outage for an hour: composed when a call needs them,
 * composed anew in the background while they are used, and dropped when a gateway reports a change.
 */
export class Compositions {
  readonly #deps: CompositionsDeps
  readonly #bySeat = new WeakMap<Seat, Entry>()
  readonly #entries = new Map<string, Entry>()
  #cancelSweep: (() => void) | undefined
  #isClosed = false

  constructor(deps: CompositionsDeps) {
    this.#deps = deps
  }

  /** The values for a request: at once if they are known and fresh, else when they are composed. */
  get(wish: Wish, signal: Signal): Composed | Promise<Composed> {
    const entry = this.#entryOf(wish.seat)
    const { composed } = entry
    if (composed === undefined || !isCurrent(composed, wish.target)) return this.#await(entry, wish, signal)
    const freshness = freshnessOf(composed, this.#momentOf(entry))
    if (freshness === "aging") this.#refresh(entry, wish)
    if (freshness !== "stale") return composed
    return this.#await(entry, wish, signal)
  }

  /**
   * Composes anew, by a read that begins after this call. Parallel calls share it. Unlike `get` it rejects while the
   * API server does not answer; an error is repeated for seconds.
   */
  async again(wish: Wish, signal: Signal): Promise<Composed> {
    const entry = this.#entryOf(wish.seat)
    const failure = this.#recentFailure(entry, wish)
    if (failure !== undefined) throw failure.error
    entry.next ??= this.#afterRunning(entry, wish)
    const made = await unlessAborted(entry.next, realSignal(signal))
    return isCurrent(made, wish.target) ? made : await this.#alone(wish, signal)
  }

  /** What is known of a sharer now, however old it is; undefined if nothing is. */
  known(seat: Seat): Composed | undefined {
    return this.#entryOf(seat).composed
  }

  /**
   * Drops what was composed of scopes that have changed between two states of a target, and all of a target that was
   * restarted or leads elsewhere now.
   */
  see(before: MCPTarget | undefined, after: MCPTarget): void {
    const change = changeBetween(before?.metadata.annotations ?? {}, after.metadata.annotations ?? {})
    const isOther = before !== undefined && !hasSameServer(before, after)
    if (change.isEmpty && !isOther) return
    const { uid } = after.metadata
    for (const entry of this.#entries.values())
      if (change.concerns(entry.scopes) || (isOther && entry.composed?.target.metadata.uid === uid)) this.#drop(entry)
  }

  close(): void {
    this.#cancelSweep?.()
    this.#isClosed = true
    this.#entries.clear()
  }

  #entryOf(seat: Seat): Entry {
    const known = this.#bySeat.get(seat)
    if (known?.isKept === true) return known
    const key = sharerOf(seat)
    const entry = this.#entries.get(key) ?? this.#newEntry(key, seat)
    this.#bySeat.set(seat, entry)
    return entry
  }

  #newEntry(key: string, seat: Seat): Entry {
    const [oldest] = this.#entries.size >= mostEntries ? this.#entries.keys() : []
    if (oldest !== undefined) this.#remove(oldest)
    const entry = new Entry(seat)
    this.#entries.set(key, entry)
    if (!this.#isClosed) this.#cancelSweep ??= this.#deps.clock.timer(sweepMs, () => this.#sweep())
    return entry
  }

  #remove(key: string): void {
    const entry = this.#entries.get(key)
    if (entry !== undefined) entry.isKept = false
    this.#entries.delete(key)
    this.#deps.followers.endOthers(key)
  }

  /** Forgets values that nobody has used for their time; during an outage they may be needed. */
  #sweep(): void {
    for (const [key, entry] of this.#entries) {
      const { composed, running, next } = entry
      const isIdle = composed === undefined || freshnessOf(composed, this.#momentOf(entry)) === "stale"
      // a change must reach the streams that were opened with the values
      const isNeeded = running !== undefined || next !== undefined || this.#deps.followers.has(key)
      if (isIdle && !isNeeded) this.#remove(key)
    }
    this.#cancelSweep = undefined
    if (this.#entries.size > 0) this.#cancelSweep = this.#deps.clock.timer(sweepMs, () => this.#sweep())
  }

  #drop(entry: Entry): void {
    entry.version++
    entry.composed = undefined
    entry.failure = undefined
    this.#deps.followers.endOthers(entry.sharer)
  }

  /** The error of the last composition, if it was for this state of the target and seconds ago. */
  #recentFailure({ failure }: Entry, { target }: Wish): Failure | undefined {
    if (failure === undefined || !isCurrent(failure, target)) return undefined
    return leftOf(failure.at, errorMs, this.#deps.clock.now()) > 0 ? failure : undefined
  }

  /** Now. The API server counts as out if it did not answer the last composition, or if nothing is heard of it. */
  #momentOf({ failure }: Entry) {
    const isOut = (failure !== undefined && isOutage(failure.error)) || this.#deps.isAway()
    return { now: this.#deps.clock.now(), isOut }
  }

  #refresh(entry: Entry, wish: Wish): void {
    if (entry.running === undefined && this.#recentFailure(entry, wish) === undefined)
      this.#start(entry, wish).catch(() => {})
  }

  async #await(entry: Entry, wish: Wish, signal: Signal): Promise<Composed> {
    const failure = entry.running === undefined ? this.#recentFailure(entry, wish) : undefined
    if (failure !== undefined) throw failure.error
    const { composed: before, version } = entry
    const running = entry.running ?? this.#start(entry, wish)
    const made = await unlessAborted(running, realSignal(signal)).catch((error: unknown) => {
      const isKept = before !== undefined && version === entry.version && entry.isKept
      if (isKept && isOutage(error) && this.#survives(before, wish)) return before
      throw error
    })
    return isCurrent(made, wish.target) ? made : await this.#alone(wish, signal)
  }

  /**
   * Composes for one request only: what it has joined was for another state of the target, whose URL may be another one.
   */
  #alone(wish: Wish, signal: Signal): Promise<Composed> {
    return unlessAborted(
      this.#inTime((limit) => this.#deps.compose(wish, limit)),
      realSignal(signal),
    )
  }

  async #afterRunning(entry: Entry, wish: Wish): Promise<Composed> {
    await entry.running?.catch(() => {})
    entry.next = undefined
    return await this.#start(entry, wish)
  }

  #start(entry: Entry, wish: Wish): Promise<Composed> {
    const running = this.#compose(entry, wish).finally(() => {
      if (entry.running === running) entry.running = undefined
    })
    entry.running = running
    return running
  }

  async #compose(entry: Entry, wish: Wish): Promise<Composed> {
    try {
      return await this.#inTime((limit) => this.#composeUntilKept(entry, wish, limit))
    } catch (error) {
      // there is no value, or one that cannot be used: those before it count no more
      if (hasCode(error, "CredentialMissing", "InstanceFailed")) this.#drop(entry)
      entry.failure = { target: wish.target, error, at: this.#deps.clock.now() }
      throw error
    }
  }

  /** Runs a composition, which ends after half a minute whatever it waits for. */
  async #inTime(task: (limit: AbortSignal) => Promise<Composed>): Promise<Composed> {
    const limit = new AbortController()
    const cancel = this.#deps.clock.timer(composeMs, () => limit.abort(tooSlow()))
    const either = AbortSignal.any([this.#deps.signal, limit.signal])
    try {
      return await unlessAborted(task(either), either)
    } finally {
      cancel()
    }
  }

  /** Composes until no change came in between: then the values may have been read before it. */
  async #composeUntilKept(entry: Entry, wish: Wish, limit: AbortSignal): Promise<Composed> {
    for (;;) {
      const { version } = entry
      try {
        const made = await this.#deps.compose(wish, limit)
        if (version !== entry.version) continue
        entry.composed = made
        entry.failure = undefined
        this.#deps.followers.endOthers(entry.sharer, made.placement.incarnation)
        return made
      } catch (error) {
        if (version === entry.version || limit.aborted) throw limit.aborted ? limit.reason : error
      }
    }
  }

  /** True if values may still be used although the API server does not answer. */
  #survives(before: Composed, { target }: Wish): boolean {
    const moment = { now: this.#deps.clock.now(), isOut: true }
    return isCurrent(before, target) && freshnessOf(before, moment) !== "stale"
  }
}
