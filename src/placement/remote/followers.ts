/** Ends what belongs to a composition: a stream that a login has opened must not outlive that login. */
export class Followers {
  /** By the key of the sharer: what is called at the end, with the incarnation that it belongs to. */
  readonly #bySharer = new Map<string, Map<() => void, string>>()

  /** Calls `listener`, once, when the incarnation is over. The returned function unsubscribes. */
  add(sharer: string, incarnation: string, listener: () => void): () => void {
    const own = this.#bySharer.get(sharer) ?? new Map<() => void, string>()
    this.#bySharer.set(sharer, own)
    own.set(listener, incarnation)
    return () => {
      own.delete(listener)
      if (own.size === 0 && this.#bySharer.get(sharer) === own) this.#bySharer.delete(sharer)
    }
  }

  /** True if somebody would be told of the sharer's changes. */
  has(sharer: string): boolean {
    return this.#bySharer.has(sharer)
  }

  /** Ends all incarnations of the sharer but this one; all without one. */
  endOthers(sharer: string, incarnation?: string): void {
    const own = this.#bySharer.get(sharer)
    for (const [listener, each] of [...(own ?? [])]) {
      if (each === incarnation) continue
      own?.delete(listener)
      listener()
    }
    if (own?.size === 0) this.#bySharer.delete(sharer)
  }
}
