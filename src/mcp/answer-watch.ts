import { isRecord } from "./message.ts"
import { endsBetweenEvents, isMessage, parseEvents } from "./sse.ts"

/** Knows whether an event stream has given the answer to its request. */
export type AnswerWatch = {
  /** Hears each piece that goes to the client. */
  sent(chunk: Buffer): void
  /** Whether the answer was among the events that are complete by now; unknown if one of them was too long to be looked at. */
  answered(): "yes" | "no" | "unknown"
}

/** Most bytes of the newest events that are held to be looked at; a longer answer is not recognized. */
const mostHeld = 64 * 2 ** 10

const parsed = (data: string): unknown => {
  try {
    return JSON.parse(data)
  } catch {
    return undefined
  }
}

/** Some servers answer a number with its text, and an error without an id: there are clients that read both. */
const answers = (value: unknown, id: unknown): boolean =>
  isRecord(value) && String(value.id ?? id) === String(id) && ("result" in value || "error" in value)

const hasAnswer = (text: string, id: unknown): boolean =>
  parseEvents(text).some((event) => event.data !== undefined && isMessage(event) && answers(parsed(event.data), id))

/**
 * Watches for the answer to the request with this id, as JSON. What went by is parsed only where it can be one, so that a
 * stream of other messages costs next to nothing.
 */
export const createAnswerWatch = (idText: string): AnswerWatch => {
  const id: unknown = JSON.parse(idText)
  let isAnswered = false
  let isUnseen = false
  let held: Buffer[] = []
  let bytes = 0
  let tail = ""
  const look = (): void => {
    const isLong = bytes > mostHeld
    const [first] = held
    const whole = isLong || held.length < 2 ? first : Buffer.concat(held)
    isUnseen ||= isLong
    held = []
    bytes = 0
    if (whole?.includes('"result"') || whole?.includes('"error"')) isAnswered = hasAnswer(whole.toString(), id)
  }
  return {
    sent: (chunk) => {
      if (isAnswered) return
      bytes += chunk.length
      if (bytes > mostHeld) held = []
      else held.push(chunk)
      tail = (tail + chunk.toString("latin1", Math.max(0, chunk.length - 4))).slice(-4)
      if (endsBetweenEvents(tail)) look()
    },
    answered: () => {
      if (!isAnswered) look()
      if (isAnswered) return "yes"
      return isUnseen ? "unknown" : "no"
    },
  }
}
