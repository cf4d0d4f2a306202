/**
 * Members that come and go with every request, the oldest first. Not a Set or a Map, whose old tables can keep all later
 * members in memory (`src/waiting/in-progress.ts`), and no roster, which has no order. The oldest is mostly the next to
 * go, so a member is found at once.
 */
export class InOrder<M> {
  readonly #members: M[] = []

  get size(): number {
    return this.#members.length
  }

  add(member: M): void {
    this.#members.push(member)
  }

  /** Removes a member; false if it is not there. */
  remove(member: M): boolean {
    const at = this.#members.indexOf(member)
    if (at >= 0) this.#members.splice(at, 1)
    return at >= 0
  }

  /** The oldest member of which this is true. */
  find(isIt: (member: M) => boolean): M | undefined {
    return this.#members.find(isIt)
  }

  /** The members as they are now. */
  all(): readonly M[] {
    return [...this.#members]
  }

  /** Removes all members, and returns them. */
  takeAll(): readonly M[] {
    return this.#members.splice(0)
  }
}
