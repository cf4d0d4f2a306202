import { AppError } from "../../errors.ts"
import { createGrowingBuffer } from "../../intake/bodies.ts"
import { findJsonFault } from "../../intake/json-text.ts"
import { isRecord } from "../../mcp/message.ts"
import type { ClockPort } from "../../ports/clock.ts"
import type { Placed } from "../pipeline.ts"
import type { UpstreamAnswer } from "./upstream-answer.ts"

/**
 * What a client gets for an answer of a remote server that is no success. Somebody else's server stands behind proxies,
 * limits and logins of its own, whose answers are made for browsers; MCP clients need JSON-RPC.
 */

/** Largest body of a failure that is read to see whether it is a JSON-RPC error, bytes. */
const mostBytes = 64 * 2 ** 10
/** Longest wait for such a body, milliseconds. */
const longestMs = 5_000
/** Deepest nesting of such a body. */
const maxDepth = 100

/** Bounds of a wait that we repeat to a client, seconds. */
const shortestSeconds = 1
const longestSeconds = 3_600
const defaultSeconds = 10

/**
 * The seconds of a Retry-After header, a number or a date (RFC 9110 §10.2.3), between a second and an hour; 10 if there
 * is none that can be read. `now` in milliseconds since the epoch.
 */
export const retryAfterOf = (header: string | undefined, now: number): number => {
  const text = header?.trim() ?? ""
  const seconds = /^\d{1,9}$/.test(text) ? Number(text) : (Date.parse(text) - now) / 1_000
  if (text === "" || Number.isNaN(seconds)) return defaultSeconds
  return Math.min(longestSeconds, Math.max(shortestSeconds, Math.ceil(seconds)))
}

const typeOf = ({ headers }: UpstreamAnswer): string =>
  (String(headers["content-type"] ?? "").split(";", 1)[0] ?? "").trim().toLowerCase()

/** The types that we name in an error: another text of the server could hold what it was sent. */
const namedTypes: readonly string[] = ["text/html", "text/plain", "application/json", "text/event-stream"]

const kindOfBody = (answer: UpstreamAnswer): string => {
  const type = typeOf(answer)
  if (type === "") return "no type"
  return namedTypes.includes(type) ? type : "another type"
}

const isRpcError = (text: string): boolean => {
  if (findJsonFault(text, { maxDepth }) !== undefined) return false
  const value: unknown = JSON.parse(text)
  return isRecord(value) && value.jsonrpc === "2.0" && isRecord(value.error) && Number.isInteger(value.error.code)
}

/** The body, up to {@link mostBytes}; undefined if it is longer, slower, or incomplete. */
const readShort = (answer: UpstreamAnswer, clock: ClockPort): Promise<Buffer | undefined> =>
  new Promise((resolve) => {
    const bytes = createGrowingBuffer()
    const finish = (body: Buffer | undefined): void => {
      cancel()
      resolve(body)
      if (body === undefined) answer.abort()
    }
    const cancel = clock.timer(longestMs, () => finish(undefined))
    answer.consume({
      data: (chunk) => {
        if (bytes.length + chunk.length > mostBytes) finish(undefined)
        else bytes.add(chunk)
        return true
      },
      end: () => finish(bytes.take()),
      fail: () => finish(undefined),
    })
  })

/** The same answer with a body that was read already. */
const withBody = ({ status, headers }: Pick<UpstreamAnswer, "status" | "headers">, body: Buffer): UpstreamAnswer => ({
  status,
  headers,
  consume: (sink) => {
    sink.data(body)
    sink.end()
  },
  resume: () => {},
  abort: () => {},
})

const notMCP = (answer: UpstreamAnswer): AppError =>
  new AppError("UpstreamInvalid", {
    detail: `The remote server answered ${answer.status} with ${kindOfBody(answer)} and no MCP message. Check remote.url, or ask who runs the server.`,
    data: { upstream_status: answer.status },
  })

const busy = ({ status, headers }: UpstreamAnswer, now: number): AppError => {
  const header = headers["retry-after"]
  const seconds = retryAfterOf(header === undefined ? undefined : String(header), now)
  return new AppError("UpstreamBusy", {
    detail: `The remote server answered ${status}: it asks to try again in ${seconds} s.`,
    retryAfterSeconds: seconds,
    data: { upstream_status: status },
  })
}

/**
 * True for a success that cannot be the answer to what was asked, e.g. the page of a login, and for every redirect that
 * was not followed.
 */
const isStrange = ({ verb, messages }: Placed, answer: UpstreamAnswer): boolean => {
  if (answer.status >= 300) return true
  const type = typeOf(answer)
  if (verb === "GET") return answer.status !== 200 || type !== "text/event-stream"
  if (verb === "DELETE" || !messages.some(({ kind }) => kind === "request")) return false
  return answer.status !== 200 || (type !== "application/json" && type !== "text/event-stream")
}

/**
 * Rewrites the headers that a client gets, so that none is a text of the server's choice: it may repeat what it was
 * sent, and the credential of a shared target is not its callers'.
 */
const restrictHead = ({ headers }: UpstreamAnswer, type: string, now: number): void => {
  const { "content-type": given } = headers
  if (given !== undefined) {
    const charset = /; ?charset="?utf-8"?$/i.test(given) ? "; charset=utf-8" : ""
    headers["content-type"] = namedTypes.includes(type) ? type + charset : "application/octet-stream"
  }
  if (headers["retry-after"] !== undefined) headers["retry-after"] = String(retryAfterOf(headers["retry-after"], now))
  const { allow } = headers
  if (allow !== undefined && !/^[A-Z]{1,16}(?:, ?[A-Z]{1,16}){0,16}$/.test(allow)) delete headers.allow
}

/** Statuses that a JSON-RPC error keeps; any other one would be read as a proxy's or a login's. */
const keptStatuses: readonly number[] = [400, 404, 500]

/** Statuses that a client must see as they are: it has no right to the session or stream, or asks for none. */
const isPlain = ({ verb }: Placed, { status }: UpstreamAnswer): boolean => verb !== "POST" && status === 405

/**
 * True for the refusal of the request by which clients ask for the modern era. A server of the older one, or what stands
 * before it, may refuse it in any words (MCP 2026-07-28, versioning); clients then send `initialize`.
 */
const isOlderEra = ({ messages: [first] }: Placed, { status }: UpstreamAnswer): boolean =>
  first?.kind === "request" && first.method === "server/discover" && status >= 400 && status < 500

/** That refusal, as clients understand it. */
const refusedDiscovery = ({ reading }: Placed): UpstreamAnswer => {
  const error = { code: -32_601, message: "The remote server does not know server/discover." }
  const body = `{"jsonrpc":"2.0","id":${reading?.idText ?? "null"},"error":${JSON.stringify(error)}}`
  return withBody({ status: 400, headers: { "content-type": "application/json" } }, Buffer.from(body))
}

/** Throws what a client is told of a failure instead of its JSON-RPC error, if it has none. */
const failWithout = (placed: Placed, answer: UpstreamAnswer, now: number): void => {
  const { status, headers } = answer
  if (status === 429 || (status === 503 && headers["retry-after"] !== undefined)) throw busy(answer, now)
  if (status !== 404 || placed.session === undefined) return
  throw new AppError("SessionNotFound", { detail: "The remote server does not know this session any more." })
}

const judge = async (placed: Placed, answer: UpstreamAnswer, clock: ClockPort): Promise<UpstreamAnswer> => {
  const { status } = answer
  const type = typeOf(answer)
  if (isPlain(placed, answer) || (status < 400 && !isStrange(placed, answer))) {
    restrictHead(answer, type, clock.now())
    return answer
  }
  failWithout(placed, answer, clock.now())
  const body = status >= 400 && type === "application/json" ? await readShort(answer, clock) : undefined
  if (body === undefined || !isRpcError(body.toString())) {
    if (!isOlderEra(placed, answer)) throw notMCP(answer)
    answer.abort()
    return refusedDiscovery(placed)
  }
  restrictHead(answer, type, clock.now())
  return withBody({ status: keptStatuses.includes(status) ? status : 200, headers: answer.headers }, body)
}

/**
 * The answer of a remote server as it is passed on: every success, a refused stream, and a JSON-RPC error, with headers
 * that hold no text of the server. Throws for all else: SessionNotFound (404 to a request with a session), UpstreamBusy
 * (429, and 503 with Retry-After), UpstreamInvalid. Ends the answer if it throws.
 */
export const ensureAnswer = async (
  placed: Placed,
  answer: UpstreamAnswer,
  clock: ClockPort,
): Promise<UpstreamAnswer> => {
  try {
    return await judge(placed, answer, clock)
  } catch (error) {
    answer.abort()
    throw error
  }
}
