import type { IncomingHttpHeaders } from "node:http"

/** Takes the body of an answer. */
export type BodySink = {
  /** False = pause until {@link UpstreamAnswer.resume}. */
  data(chunk: Buffer): boolean
  end(): void
  /** The body is not complete: the server or the client went away. */
  fail(error: unknown): void
}

/** An answer whose head is here and whose body is coming. */
export type UpstreamAnswer = {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** Hands the body to a sink, what came already first, in order, synchronously. */
  consume(sink: BodySink): void
  resume(): void
  /** Ends the exchange; harmless when it has ended. */
  abort(): void
}
