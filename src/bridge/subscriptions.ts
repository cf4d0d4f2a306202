import { AppError } from "../errors.ts"

/** Longest URI, most resources of one session, and most bytes of all subscriptions together. */
const longestUri = 8_192
const mostOfOne = 1_000
const mostBytes = 32 * 2 ** 20

/** What a subscription costs besides its URI, which all subscribers share, bytes. */
const entryBytes = 96

const refused = (detail: string): AppError => new AppError("InvalidParams", { detail })

/** A resource, and who has subscribed to it. */
type Resource<S> = { readonly uri: string; readonly sessions: Set<S> }

/** Counts who has subscribed to which resource of a shared child. */
export class Subscriptions<S extends object> {
  readonly #resources = new Map<string, Resource<S>>()
  /** What each session has: its end must not cost what the others have. */
  readonly #own = new WeakMap<S, Set<Resource<S>>>()
  #bytes = 0

  /** Subscribes a session; InvalidParams if it may not. */
  add(uri: string, session: S): AppError | undefined {
    if (this.has(uri, session)) return undefined
    const length = Buffer.byteLength(uri)
    if (length > longestUri) return refused(`The URI has more than ${longestUri} bytes.`)
    const own = this.#own.get(session) ?? new Set()
    if (own.size >= mostOfOne) return refused(`This session has ${mostOfOne} subscriptions: end some of them first.`)
    const resource = this.#resources.get(uri) ?? { uri, sessions: new Set() }
    const bytes = entryBytes + (resource.sessions.size === 0 ? length : 0)
    if (this.#bytes + bytes > mostBytes) return refused("The sessions of this server have too many subscriptions.")
    this.#bytes += bytes
    this.#own.set(session, own.add(resource))
    this.#resources.set(uri, resource)
    resource.sessions.add(session)
    return undefined
  }

  /** True if it was the last subscription. */
  remove(uri: string, session: S): boolean {
    const resource = this.#resources.get(uri)
    if (resource?.sessions.delete(session) !== true) return false
    this.#bytes -= entryBytes
    this.#own.get(session)?.delete(resource)
    if (resource.sessions.size > 0) return false
    this.#bytes -= Buffer.byteLength(uri)
    return this.#resources.delete(uri)
  }

  has(uri: string, session: S): boolean {
    return this.#resources.get(uri)?.sessions.has(session) === true
  }

  /** The resources to which only this session has subscribed; it is removed from all. */
  leave(session: S): readonly string[] {
    const uris = Array.from(this.#own.get(session) ?? [], ({ uri }) => uri)
    return uris.filter((uri) => this.remove(uri, session))
  }
}
