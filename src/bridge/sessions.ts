import { AppError, isAppError } from "../errors.ts"
import { createShares } from "../intake/bodies.ts"
import { type CommonChild, type CommonDeps, openLegacy, openModern } from "./common-child.ts"
import type { Connection } from "./http/connection.ts"
import type { Incoming } from "./incoming.ts"
import { ModernSide } from "./modern.ts"
import { mostCalls } from "./peer.ts"
import { exhausted, longestIdle } from "./processes.ts"
import { createRingBudget } from "./ring.ts"
import { OwnSession, type Session, type SessionLimits } from "./session.ts"
import { SharedSession } from "./shared-session.ts"
import { Subscriptions } from "./subscriptions.ts"

/** What the sessions of a bridge need. */
export type SessionsDeps = CommonDeps & {
  readonly limits: SessionLimits
  readonly singleUser: boolean
  /** How long a session may be idle before it ends, milliseconds. */
  readonly idleMs: number
  /** How long a session of a shared process must be idle before another one may take its place, milliseconds. */
  readonly evictMs: number
}

/** Most sessions that share one child: each takes a few KiB. */
const mostShared = 10_000

/** The sessions of a bridge, and the child of the modern era. */
export class Sessions {
  readonly #deps: SessionsDeps
  readonly #sessions = new Map<string, Session>()
  readonly #subscriptions = new Subscriptions<SharedSession>()
  /** Open calls of sessions that share one child. */
  readonly #shares = createShares(mostCalls)
  readonly #ringBudget = createRingBudget()
  /** The child of all clients, if the processes are shared. */
  #shared: CommonChild | undefined
  /** Which era a child speaks, once that is known. */
  #era: "modern" | "legacy" | undefined
  #modern: Promise<ModernSide> | undefined
  /** Until then no place of a session is looked for, by `performance.now()`. */
  #fullUntil = 0

  constructor(deps: SessionsDeps) {
    this.#deps = deps
  }

  /** How many sessions are open. */
  get size(): number {
    return this.#sessions.size
  }

  /** Opens the child that all clients share. Throws ServerProcessEnded. */
  async share(): Promise<CommonChild> {
    this.#shared = await openLegacy(this.#deps)
    return this.#shared
  }

  /** True if there is a session with this id. */
  has(id: string): boolean {
    return this.#sessions.has(id)
  }

  /** The session with this id. Throws SessionNotFound. */
  get(id: string): Session {
    const session = this.#sessions.get(id)
    if (session !== undefined) return session
    throw new AppError("SessionNotFound", { detail: "The server has no session with this id." })
  }

  /** Opens a session with the client's `initialize`, and answers it. Throws ProcessesExhausted. */
  async open(incoming: Incoming, connection: Connection): Promise<void> {
    const session = this.#shared === undefined ? await this.#openOwn() : this.#openShared(this.#shared)
    session.initialize(incoming, connection)
  }

  /** The way of requests of the modern era. Throws ServerProcessEnded and ProcessesExhausted. */
  async modern(): Promise<ModernSide> {
    const before = this.#modern
    const known = await before?.catch(() => undefined)
    if (known?.isOver === false) return known
    // another request may have begun meanwhile
    if (this.#modern === undefined || this.#modern === before) this.#modern = this.#openModern()
    const opening = this.#modern
    opening.catch(() => {
      if (this.#modern === opening) this.#modern = undefined
    })
    return opening
  }

  /** Ends what has been idle for too long. */
  sweep(): void {
    const since = performance.now() - this.#deps.idleMs
    this.#deps.processes.endIdle(since)
    if (this.#shared === undefined) return
    for (const session of this.#sessions.values()) {
      if (session instanceof SharedSession) session.cancelAbandoned()
      if (session.idleSince !== undefined && session.idleSince <= since) void session.end()
    }
  }

  async #openOwn(): Promise<OwnSession> {
    const { processes, limits } = this.#deps
    let session: OwnSession | undefined
    const started = await processes.take({
      request: (message) => session?.take(message),
      notification: (message) => session?.take(message),
    })
    const opened = new OwnSession(started, limits, () => {
      this.#sessions.delete(opened.id)
      release()
    })
    const release = processes.hold(opened)
    session = opened
    this.#sessions.set(opened.id, opened)
    return opened
  }

  #openShared(common: CommonChild): SharedSession {
    if (this.#sessions.size >= mostShared) this.#makeRoom()
    const deps = {
      ...{ common, subscriptions: this.#subscriptions, shares: this.#shares, ringBudget: this.#ringBudget },
      limits: this.#deps.limits,
    }
    const session: SharedSession = new SharedSession(deps, () => void this.#sessions.delete(session.id))
    this.#sessions.set(session.id, session)
    return session
  }

  /** Ends the session that has been idle longest: else one client could shut out all others until its sessions end. */
  #makeRoom(): void {
    const now = performance.now()
    if (now >= this.#fullUntil) {
      const longest = longestIdle(this.#sessions.values(), now - this.#deps.evictMs)
      if (longest !== undefined) return void longest.end()
      // looking for one takes as long as five calls
      this.#fullUntil = now + 1_000
    }
    throw exhausted(mostShared, "sessions")
  }

  async #openModern(): Promise<ModernSide> {
    const { limits, singleUser, discoverMs } = this.#deps
    const options = { silenceMs: limits.silenceMs, unsent: limits.unsent, listMs: discoverMs, singleUser }
    const common = this.#era === "legacy" ? undefined : await this.#discover()
    if (common !== undefined) return this.#held(new ModernSide(common, false, options))
    const legacy = this.#shared ?? (await openLegacy(this.#deps))
    this.#era = "legacy"
    const side = new ModernSide(legacy, true, options)
    return this.#shared === undefined ? this.#held(side) : side
  }

  /**
   * A child of the modern era; undefined if the server speaks, or may speak, the legacy one: some of that era end at a
   * request that they do not know. A server that was modern stays so, whatever becomes of one of its processes.
   */
  async #discover(): Promise<CommonChild | undefined> {
    const found = await openModern(this.#deps).catch((error: unknown) => this.#withoutSpare(error))
    if (found?.kind === "modern") {
      this.#era = "modern"
      return found.common
    }
    // the shared child has been opened in the legacy era, so it serves whatever the asked one did
    const isHopeless = found?.kind === "silent" && this.#shared === undefined
    if (found !== undefined && (this.#era === "modern" || isHopeless)) throw found.error
    return undefined
  }

  /** Without a place for a child that could be asked, the shared one serves; it has been opened in the legacy era. */
  #withoutSpare(error: unknown): undefined {
    if (
      this.#shared === undefined ||
      this.#era === "modern" ||
      !isAppError(error) ||
      error.code !== "ProcessesExhausted"
    )
      throw error
    return undefined
  }

  #held(side: ModernSide): ModernSide {
    const release = this.#deps.processes.hold(side)
    void side.ended.then(release)
    return side
  }
}
