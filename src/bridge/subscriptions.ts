import { AppError } from "../errors.ts"

/** Longest URI, most resources of one session, and most bytes of all subscriptions together. */
const longestUri = 8_192
const mostOfOne = 1_000
const mostBytes = 32 * 2 ** 20

/** What a subscription costs besides its URI, which all subscribers share, bytes. */
const entryBytes = 64

const refused = (detail: string): AppError => new AppError("InvalidParams", { detail })

/** Counts who has subscribed to which resource of a shared child. */
export class Subscriptions<S extends object> {
  readonly #sessions = new Map<string, Set<S>>()
  readonly #counts = new WeakMap<S, number>()
  #bytes = 0

  /** Subscribes a session; InvalidParams if it may not. */
  add(uri: string, session: S): AppError | undefined {
    if (this.has(uri, session)) return undefined
    const length = Buffer.byteLength(uri)
    if (length > longestUri) return refused(`The URI has more than ${longestUri} bytes.`)
    const count = this.#counts.get(session) ?? 0
    if (count >= mostOfOne) return refused(`This session has ${mostOfOne} subscriptions: end some of them first.`)
    const sessions = this.#sessions.get(uri) ?? new Set()
    const bytes = entryBytes + (sessions.size === 0 ? length : 0)
    if (this.#bytes + bytes > mostBytes) return refused("The sessions of this server have too many subscriptions.")
    this.#bytes += bytes
    this.#counts.set(session, count + 1)
    this.#sessions.set(uri, sessions.add(session))
    return undefined
  }

  /** True if it was the last subscription. */
  remove(uri: string, session: S): boolean {
    const sessions = this.#sessions.get(uri)
    if (sessions?.delete(session) !== true) return false
    this.#bytes -= entryBytes
    this.#counts.set(session, (this.#counts.get(session) ?? 1) - 1)
    if (sessions.size > 0) return false
    this.#bytes -= Buffer.byteLength(uri)
    return this.#sessions.delete(uri)
  }

  has(uri: string, session: S): boolean {
    return this.#sessions.get(uri)?.has(session) === true
  }

  /** The resources to which only this session has subscribed; it is removed from all. */
  leave(session: S): readonly string[] {
    return [...this.#sessions.keys()].filter((uri) => this.remove(uri, session))
  }
}
