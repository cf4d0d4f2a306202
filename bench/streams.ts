/** Event streams that stay open and silent. */
import { Connection, encodeRequest, type Request } from "./connection.ts"
import { Latencies } from "./latency.ts"

/** How many streams are opened at the same time, if nothing else is said: fewer than any listener's backlog. */
const openedAtOnce = 50
/** How long a stream may take until its head arrives, milliseconds. */
const beginMs = 30_000

/** Opens a stream; resolves when its head has arrived. `lost` is called if it ends later. */
const openStream = (request: Request, lost: (error: Error) => void): Promise<Connection> =>
  new Promise((resolve, reject) => {
    let hasBegun = false
    const end = (error: Error) => (hasBegun ? lost(error) : reject(error))
    const late = setTimeout(() => reject(new Error("a stream did not begin")), beginMs)
    const connection = new Connection(
      { url: request.url },
      {
        failed: end,
        answered: ({ status }) => end(new Error(`a stream ended; its status is ${status}`)),
        progressed: ({ status, hasHead }) => {
          if (status !== 200 || !hasHead || hasBegun) return
          hasBegun = true
          clearTimeout(late)
          resolve(connection)
        },
      },
    )
    connection.send(encodeRequest(request))
  })

/** Open streams. */
export type Streams = {
  /** Median time from the request, with its connection, until the head of the answer; milliseconds. */
  readonly headMs: number
  /** How many have ended by themselves. */
  lost(): number
  /** Closes all of them. Throws if one has ended before. */
  close(): void
}

/**
 * Opens `count` streams, with the requests in turns, and `atOnce` of them at the same time. Throws if one of them fails.
 */
export const openStreams = async (
  requests: readonly Request[],
  count: number,
  atOnce = openedAtOnce,
): Promise<Streams> => {
  const connections: Connection[] = []
  const losses: Error[] = []
  const times = new Latencies()
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < count) {
      const request = requests[next++ % requests.length]
      if (request === undefined) throw new Error("there is no request for a stream")
      const since = performance.now()
      connections.push(await openStream(request, (error) => losses.push(error)))
      times.add(performance.now() - since)
    }
  }
  const close = () => {
    for (const connection of connections) connection.close()
  }
  try {
    await Promise.all(Array.from({ length: atOnce }, worker))
  } catch (error) {
    close()
    throw error
  }
  return {
    headMs: times.quantiles(0.5)[0] ?? Number.NaN,
    lost: () => losses.length,
    close: () => {
      close()
      if (losses.length > 0) throw new Error(`${losses.length} streams were lost: ${losses[0]?.message}`)
    },
  }
}
