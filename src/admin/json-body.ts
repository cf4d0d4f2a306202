import { AppError } from "../errors.ts"
import { bodiesTooLarge, createGather, declaredLength, type Gather, type Overflow } from "../intake/bodies.ts"
import { findJsonFault } from "../intake/json-text.ts"
import { isUtf8, parseMediaType } from "../intake/media-type.ts"
import type { ClockPort } from "../ports/clock.ts"

/** Largest body of the REST API, in bytes. */
const maxBytes = 1024 * 1024
/** Deepest nesting of arrays and objects. */
const maxDepth = 64

/** How much of a refused body is still read and discarded, in bytes and milliseconds; see {@link discard}. */
const discardLimit = 64 * 2 ** 20
const discardMs = 2_000

const tooLarge = (): AppError =>
  new AppError("BodyTooLarge", { detail: "The body is larger than 1 MiB.", headers: { connection: "close" } })

const malformed = (detail: string): AppError => new AppError("MalformedJson", { detail })

/** Dependencies of reading a body. */
type BodyReading = {
  /**
   * Reserves bytes of the budget before they are kept in memory; false if there is no room. See src/intake/bodies.ts.
   */
  readonly take: (bytes: number) => boolean
  readonly clock: ClockPort
}

type Reader = ReadableStreamDefaultReader<Uint8Array>

/**
 * Reads and discards the rest of a refused body, up to a bound. The response closes the connection, and a connection
 * that is closed with unread bytes is reset by TCP: the client could then lose the response.
 */
const discard = async (reader: Reader, clock: ClockPort): Promise<void> => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const cancel = clock.timer(discardMs, resolve)
  const read = async (): Promise<void> => {
    let seen = 0
    for (let piece = await reader.read(); !piece.done && seen < discardLimit; piece = await reader.read())
      seen += piece.value.byteLength
  }
  // an error means that the client has disconnected: no response is needed
  read().then(resolve, resolve)
  await promise
  cancel()
}

/** Reads the next piece. Throws InvalidRequest if the client disconnects before the end of the body. */
const readPiece = async (reader: Reader): ReturnType<Reader["read"]> => {
  try {
    return await reader.read()
  } catch (cause) {
    throw new AppError("InvalidRequest", { detail: "The body of the request broke off.", cause })
  }
}

/** Reads all pieces into `gather`; resolves with the limit that was exceeded, undefined if none was. */
const gatherAll = async (reader: Reader, gather: Gather): Promise<Overflow | undefined> => {
  for (let piece = await readPiece(reader); !piece.done; piece = await readPiece(reader)) {
    const { buffer, byteOffset, byteLength } = piece.value
    const overflow = gather.add(Buffer.from(buffer, byteOffset, byteLength))
    if (overflow !== undefined) return overflow
  }
  return undefined
}

/**
 * The bytes of a request's body, at most 1 MiB. Throws BodyTooLarge, BodiesTooLarge if the budget has no room, and
 * InvalidRequest. The reserved bytes stay reserved: the caller, who passed `take`, releases them.
 */
export const readBytes = async (request: Request, { take, clock }: BodyReading): Promise<Buffer> => {
  const declared = declaredLength(request.headers.get("content-length"))
  const gather = createGather({ limit: maxBytes, declared, take })
  const reader = request.body?.getReader()
  if (reader === undefined) return gather.whole()
  const overflow = declared !== undefined && declared > maxBytes ? "limit" : await gatherAll(reader, gather)
  if (overflow === undefined) return gather.whole()
  await discard(reader, clock)
  throw overflow === "limit" ? tooLarge() : bodiesTooLarge()
}

/** Default media type of bodies. */
const json = "application/json"

const checkMediaType = (headers: Headers, wanted: string): void => {
  const type = parseMediaType(headers.get("content-type") ?? "")
  const plain = type?.parameters.every(({ name }) => name === "charset") === true && isUtf8(type)
  if (type?.essence !== wanted || !plain)
    throw new AppError("UnsupportedMediaType", {
      detail: `The body must be sent as ${wanted} in UTF-8.`,
      headers: wanted === json ? {} : { "accept-patch": wanted },
    })
  if (headers.has("content-encoding"))
    throw new AppError("UnsupportedMediaType", { detail: "The body must be sent without a Content-Encoding." })
}

const parse = (bytes: Buffer): unknown => {
  let text: string
  try {
    // a byte order mark stays in the text, where JSON does not allow it
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw malformed("The body is not UTF-8.")
  }
  const fault = findJsonFault(text, { maxDepth, strict: true })
  if (fault !== undefined) throw malformed(`The body ${fault.message}.`)
  return JSON.parse(text)
}

/** For optional bodies: `{}` for an absent body (undefined). `null` is a body, and is returned as it is. */
export const orEmpty = (body: unknown): unknown => (body === undefined ? {} : body)

/**
 * The JSON body of a request: UTF-8, at most 1 MiB, 64 levels and 50,000 members, no key twice in one object or called
 * `__proto__`, no lone surrogates; sent as `mediaType`. `undefined` for an empty body, with any content type.
 * Throws BodyTooLarge, BodiesTooLarge, InvalidRequest, UnsupportedMediaType, MalformedJson.
 */
export const readJson = async (request: Request, by: BodyReading, mediaType: string = json): Promise<unknown> => {
  const bytes = await readBytes(request, by)
  if (bytes.length === 0) return undefined
  checkMediaType(request.headers, mediaType)
  return parse(bytes)
}
