/** A member of a {@link Roster}. */
export type Member = {
  /** The member's place; the roster's own. */
  place: number
}

/** Who is there now, where members come and go with every request. */
export type Roster<M extends Member> = {
  add(member: M): void
  /** Removes a member; harmless for one that is not there. */
  remove(member: M): void
  readonly size: number
  /** The members as they are now. */
  all(): readonly M[]
}

/**
 * Creates an empty roster, in no order. Not a Set: a Set makes a new table for every few dozen members that leave, and
 * V8's old table refers to the new one, and to all who were members then. An old table that the garbage collector has
 * moved to the old generation so keeps every later member alive, with its request and response, until the next full
 * collection. At 64 connections that took 10 of 65 µs of a warm request, and 60 MiB.
 */
export const createRoster = <M extends Member>(): Roster<M> => {
  const members: M[] = []
  return {
    add: (member) => {
      member.place = members.length
      members.push(member)
    },
    remove: (member) => {
      if (members[member.place] !== member) return
      const last = members.pop()
      if (last === undefined || last === member) return
      members[member.place] = last
      last.place = member.place
    },
    get size() {
      return members.length
    },
    all: () => [...members],
  }
}
