import { AppError } from "../../errors.ts"
import type { BodyFilter } from "../../mcp/tool-filter.ts"
import type { UpstreamAnswer } from "./upstream-answer.ts"

/** How an answer becomes a Response. */
type WebResponseOptions = {
  /** Makes the filter of the tool policy; called only if there is a body. Throws UpstreamInvalid. */
  readonly filter?: (() => BodyFilter | undefined) | undefined
  /** Ends the exchange; called when the body has ended or has failed, possibly more than once. */
  readonly close: () => void
  /** Called instead of `close` when the reader does not want the rest of the body; default `close`. */
  readonly cancel?: () => void
}

type Reading = Pick<WebResponseOptions, "close" | "cancel"> & { readonly filter: BodyFilter | undefined }

/** The body as a stream with backpressure. */
const streamOf = (answer: UpstreamAnswer, { filter, close, cancel = close }: Reading): ReadableStream<Uint8Array> =>
  new ReadableStream<Uint8Array>({
    start: (controller) => {
      const give = (bytes: Buffer): boolean => {
        if (bytes.length > 0) controller.enqueue(bytes)
        return (controller.desiredSize ?? 0) > 0
      }
      let isOver = false
      const attempt = (task: () => boolean): boolean => {
        try {
          return isOver || task()
        } catch (error) {
          isOver = true
          controller.error(error)
          close()
          return true
        }
      }
      answer.consume({
        data: (chunk) => attempt(() => give(filter === undefined ? chunk : filter.push(chunk))),
        end: () =>
          attempt(() => {
            if (filter !== undefined) give(filter.end())
            controller.close()
            close()
            return true
          }),
        fail: (error) =>
          attempt(() => {
            throw error
          }),
      })
    },
    pull: () => answer.resume(),
    cancel,
  })

/** Headers of an answer that an MCP client needs. */
const passed: readonly string[] = ["content-type", "mcp-session-id"]
const withoutBody: readonly number[] = [204, 205, 304]

/**
 * A server's answer as a Response of the Fetch standard, for our own MCP client. The session id is the server's own.
 * Throws UpstreamInvalid for a status outside 200 to 599, and what `filter` throws; the exchange is closed then.
 */
export const toWebResponse = (answer: UpstreamAnswer, options: WebResponseOptions): Response => {
  const { filter, close } = options
  try {
    const { status } = answer
    if (status < 200 || status > 599)
      throw new AppError("UpstreamInvalid", { detail: `The server answered with HTTP status ${status}.` })
    const headers = new Headers()
    for (const name of passed) {
      const value = answer.headers[name]
      if (value !== undefined) headers.set(name, String(value))
    }
    if (!withoutBody.includes(status))
      return new Response(streamOf(answer, { ...options, filter: filter?.() }), { status, headers })
    close()
    return new Response(null, { status, headers })
  } catch (error) {
    close()
    throw error
  }
}
