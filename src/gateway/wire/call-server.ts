import type { IncomingHttpHeaders } from "node:http"
import type { Mirrored } from "../../mcp/mirrored-headers.ts"
import type { Placement } from "../../placement/port.ts"
import type { Verb } from "../incoming.ts"
import type { Keyed } from "../pipeline.ts"
import { acceptFor, identityHeadersFor, toUpstreamHeaders } from "./headers.ts"
import type { Upstream } from "./upstream.ts"
import type { UpstreamAnswer } from "./upstream-answer.ts"

/** What is sent to a server, on whose behalf aside. */
type ServerCall = {
  readonly placement: Placement
  readonly verb: Verb
  /** By lower-case name; of these go on what {@link toUpstreamHeaders} lets pass. */
  readonly headers: IncomingHttpHeaders
  /** The server's own session id. */
  readonly session: string | undefined
  /** Which headers that repeat the body were compared with it; default: none, and none goes on. */
  readonly mirrored?: Mirrored
  readonly body: Buffer | undefined
  /** How long the head of the answer may take, milliseconds. */
  readonly headersTimeoutMs: number
  /** Streams that are open for hours must not take the connections of calls. */
  readonly lane: "call" | "stream"
  readonly signal: AbortSignal
}

/**
 * Sends a call to the server of an instance for the caller of `input`: with what the server may learn of that caller, and with
 * the Host header that the target names. Throws what {@link Upstream.send} throws.
 */
export const callServer = (
  upstream: Upstream,
  input: Keyed,
  { session, mirrored = "none", headers, ...call }: ServerCall,
): Promise<UpstreamAnswer> =>
  upstream.send({
    ...call,
    headers: toUpstreamHeaders(headers, {
      session,
      mirrored,
      ...(call.verb === "DELETE" ? {} : { accept: acceptFor(call.verb, headers.accept) }),
      origin: input.origin,
      host: input.target.spec.hostHeader,
      identity: identityHeadersFor(input),
    }),
  })
