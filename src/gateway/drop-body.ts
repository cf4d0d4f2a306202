import type { ClockPort } from "../ports/clock.ts"
import type { UpstreamAnswer } from "./upstream-answer.ts"

/** Most of a body without meaning that is read, so that its connection can carry the next request. */
const mostDropped = 64 * 2 ** 10
/** Longest time that its end is waited for, in milliseconds: some servers keep such a body open for good. */
const longestMs = 1_000

/** Reads and forgets a short body; ends the exchange with one that is longer, or that does not end in time. Never rejects. */
export const dropBody = (answer: UpstreamAnswer, clock: ClockPort): Promise<void> =>
  new Promise((resolve) => {
    let bytes = 0
    const cancel = clock.timer(longestMs, () => answer.abort())
    const end = () => {
      cancel()
      resolve()
    }
    answer.consume({
      data: (chunk) => {
        bytes += chunk.length
        if (bytes > mostDropped) answer.abort()
        return true
      },
      end,
      fail: end,
    })
  })
