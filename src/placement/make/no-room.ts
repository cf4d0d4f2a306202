import { hasCode } from "../../errors.ts"
import type { ClockPort } from "../../ports/clock.ts"

/** How long the error of a quota is repeated before it is tried again, milliseconds; callers are asked to wait longer. */
const repeatMs = 5_000

/**
 * Repeats the error of a quota for 5 s for the instance that it met. A quota on Secrets is met when the instance exists
 * already, and is deleted again: a caller who does not wait must not make the operator begin one start after another.
 */
export const createNoRoom = (clock: ClockPort): (<T>(name: string, task: () => Promise<T>) => Promise<T>) => {
  const met = new Map<string, { readonly at: number; readonly error: unknown }>()
  return async (name, task) => {
    const now = clock.now()
    for (const [each, { at }] of met) if (now - at >= repeatMs) met.delete(each)
    const known = met.get(name)
    if (known !== undefined) throw known.error
    try {
      return await task()
    } catch (error) {
      if (hasCode(error, "QuotaExceeded")) met.set(name, { at: clock.now(), error })
      throw error
    }
  }
}
