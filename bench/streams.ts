/** Event streams that stay open and silent. */
import { Connection, encodeRequest, type Request } from "./connection.ts"

/** How many streams are opened at the same time: fewer than any listener's backlog. */
const openedAtOnce = 50
/** How long a stream may take until its body begins, milliseconds. */
const beginMs = 30_000

/** Opens a stream; resolves when its body has begun. `lost` is called if it ends later. */
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
        progressed: ({ status, bodyBytes }) => {
          if (status !== 200 || bodyBytes === 0 || hasBegun) return
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
  /** How many have ended by themselves. */
  lost(): number
  /** Closes all of them. Throws if one has ended before. */
  close(): void
}

/** Opens `count` streams, with the requests in turns. Throws if one of them fails. */
export const openStreams = async (requests: readonly Request[], count: number): Promise<Streams> => {
  const connections: Connection[] = []
  const losses: Error[] = []
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < count) {
      const request = requests[next++ % requests.length]
      if (request === undefined) throw new Error("there is no request for a stream")
      connections.push(await openStream(request, (error) => losses.push(error)))
    }
  }
  const close = () => {
    for (const connection of connections) connection.close()
  }
  try {
    await Promise.all(Array.from({ length: openedAtOnce }, worker))
  } catch (error) {
    close()
    throw error
  }
  return {
    lost: () => losses.length,
    close: () => {
      close()
      if (losses.length > 0) throw new Error(`${losses.length} streams were lost: ${losses[0]?.message}`)
    },
  }
}
