import { leftOf } from "../../ports/clock.ts"
import { markRenewMs, markTtlMs } from "../../signals/in-use.ts"

/** The in-use marks of an instance, as in `status.inUseBy`: a time for each gateway's name. */
export type Marks = Readonly<Record<string, string>>

/** The marks of other gateways as this gateway has seen them, by the gateway's name. */
export type SeenMarks = ReadonlyMap<
  string,
  {
    readonly value: string
    /** When it was seen to change, milliseconds since the epoch by this gateway's clock; -Infinity = never. */
    readonly changedAt: number
  }
>

/**
 * How long another gateway's mark is relied on after its last change, milliseconds. It is renewed more often than this,
 * and the operator counts it for longer.
 */
const reliedOnMs = markTtlMs - markRenewMs

/** What is seen first. These marks are not relied on before they change: their gateways may be gone. Pure. */
export const firstMarks = (marks: Marks, own: string): SeenMarks =>
  new Map(
    Object.entries(marks)
      .filter(([name]) => name !== own)
      .map(([name, value]) => [name, { value, changedAt: Number.NEGATIVE_INFINITY }]),
  )

/** What is seen now, at `now`, after what was seen before. Pure. */
export const nextMarks = (before: SeenMarks, marks: Marks, own: string, now: number): SeenMarks =>
  new Map(
    Object.entries(marks)
      .filter(([name]) => name !== own)
      .map(([name, value]) => {
        const known = before.get(name)
        return [name, known?.value === value ? known : { value, changedAt: now }]
      }),
  )

/** True if another gateway's mark can be relied on: it has changed not long ago. Pure. */
export const hasOtherMark = (seen: SeenMarks, now: number): boolean =>
  [...seen.values()].some(({ changedAt }) => leftOf(changedAt, reliedOnMs, now) > 0)
