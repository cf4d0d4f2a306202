/** One who is told when an incarnation is over. */
type Follower = { readonly incarnation: string; readonly listener: () => void }

/** Ends what belongs to a composition: a stream that a login has opened must not outlive that login. */
export class Followers {
  /** By the key of the sharer. Whoever follows counts by itself, also with the function of another. */
  readonly #bySharer = new Map<string, Set<Follower>>()

  /** Calls `listener`, once, when the incarnation is over. The returned function unsubscribes. */
  add(sharer: string, incarnation: string, listener: () => void): () => void {
    const own = this.#bySharer.get(sharer) ?? new Set<Follower>()
    this.#bySharer.set(sharer, own)
    const follower = { incarnation, listener }
    own.add(follower)
    return () => {
      own.delete(follower)
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
    for (const follower of [...(own ?? [])]) {
      if (follower.incarnation === incarnation) continue
      own?.delete(follower)
      follower.listener()
    }
    if (own?.size === 0) this.#bySharer.delete(sharer)
  }
}
