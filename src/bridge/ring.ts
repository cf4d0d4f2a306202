/** An event that a client may ask for again with Last-Event-ID. */
type Kept = { readonly stream: number; readonly sequence: number; readonly text: string }

/** The last events of a session. */
export type Ring = {
  /** Keeps an event; the oldest are dropped beyond the limits. */
  add(event: Kept): void
  /** The kept events of a stream after a position, in order. */
  after(stream: number, sequence: number): readonly Kept[]
  /** Drops all events. */
  clear(): void
}

/** Most events, and most characters of them together; the newest event is kept in any case. */
const mostEvents = 256
const mostCharacters = 4 * 2 ** 20

/** A ring as its budget sees it. */
type Member = { characters: number; readonly dropOldest: () => void }

/** What the rings of many sessions may keep together. */
export type RingBudget = {
  readonly members: Set<Member>
  held: number
}

/** Most characters of the rings of one budget; then the largest ring drops its oldest events. */
const mostTogether = 16 * 2 ** 20

/** Creates a budget for rings. */
export const createRingBudget = (): RingBudget => ({ members: new Set(), held: 0 })

/** Drops events until they fit together, of the largest ring until it is half as large: it is sought seldom then. */
const shrink = (budget: RingBudget): void => {
  while (budget.held > mostTogether) {
    const largest = [...budget.members].reduce((most, each) => (each.characters > most.characters ? each : most))
    const half = largest.characters / 2
    do largest.dropOldest()
    while (largest.characters > half)
  }
}

/** Creates an empty ring. With a budget it can lose even its newest event to those of other rings. */
export const createRing = (budget?: RingBudget): Ring => {
  const events: Kept[] = []
  const count = (characters: number): void => {
    member.characters += characters
    if (budget === undefined) return
    budget.held += characters
    if (member.characters === 0) budget.members.delete(member)
    else budget.members.add(member)
  }
  const dropOldest = (): void => count(-(events.shift()?.text.length ?? 0))
  const member: Member = { characters: 0, dropOldest }
  return {
    add: (event) => {
      events.push(event)
      count(event.text.length)
      while (events.length > mostEvents || (member.characters > mostCharacters && events.length > 1)) dropOldest()
      if (budget !== undefined) shrink(budget)
    },
    after: (stream, sequence) => events.filter((each) => each.stream === stream && each.sequence > sequence),
    clear: () => {
      events.length = 0
      count(-member.characters)
    },
  }
}

/** A place in a stream, as an event's id names it. */
export type EventPlace = { readonly stream: number; readonly sequence: number }

/** The id of an event. */
export const eventId = ({ stream, sequence }: EventPlace): string => `${stream}-${sequence}`

/** The place that an id names; undefined if it is none of ours. */
export const readEventId = (id: string): EventPlace | undefined => {
  const [, stream, sequence] = /^(\d{1,12})-(\d{1,12})$/.exec(id) ?? []
  return stream === undefined || sequence === undefined
    ? undefined
    : { stream: Number(stream), sequence: Number(sequence) }
}
