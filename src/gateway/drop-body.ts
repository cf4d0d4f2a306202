import type { UpstreamAnswer } from "./upstream-answer.ts"

/** Most of a body without meaning that is read, so that its connection can carry the next request. */
const mostDropped = 64 * 2 ** 10

/** Reads and forgets a short body; ends the exchange with a longer one. */
export const dropBody = (answer: UpstreamAnswer): Promise<void> =>
  new Promise((resolve) => {
    let bytes = 0
    const end = () => resolve()
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
