/** An event that a client may ask for again with Last-Event-ID. */
type Kept = { readonly stream: number; readonly sequence: number; readonly text: string }

/** The last events of a session. */
export type Ring = {
  /** Keeps an event; the oldest are dropped beyond the limits. */
  add(event: Kept): void
  /** The kept events of a stream after a position, in order. */
  after(stream: number, sequence: number): readonly Kept[]
}

/** Most events, and most characters of them together; the newest event is kept in any case. */
const mostEvents = 256
const mostCharacters = 4 * 2 ** 20

/** Creates an empty ring. */
export const createRing = (): Ring => {
  const events: Kept[] = []
  let characters = 0
  return {
    add: (event) => {
      events.push(event)
      characters += event.text.length
      while (events.length > mostEvents || (characters > mostCharacters && events.length > 1))
        characters -= events.shift()?.text.length ?? 0
    },
    after: (stream, sequence) => events.filter((each) => each.stream === stream && each.sequence > sequence),
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
