import { AppError } from "../errors.ts"
import { bodiesTooLarge, createGather, declaredLength, type Gather, type Overflow } from "../intake/bodies.ts"
import { findJsonFault } from "../intake/json-text.ts"
import { isUtf8, parseMediaType } from "../intake/media-type.ts"
import type { ClockPort } from "../ports/clock.ts"

/** Largest body of the REST API, in bytes. */
const maxBytes = 1024 * 1024
/** Deepest nesting of arrays and objects. */
const maxDepth = 64

/** How much of a refused body is still read, so that a client which is sending gets to read the answer: bytes, and for how long. */
const discardLimit = 64 * 2 ** 20
const discardMs = 2_000

const tooLarge = (): AppError =>
  new AppError("BodyTooLarge", { detail: "The body is larger than 1 MiB.", headers: { connection: "close" } })

const malformed = (detail: string): AppError => new AppError("MalformedJson", { detail })

/** What a body is read with. */
type BodyReading = {
  /** Takes bytes of the budget before they are held; see intake/bodies.ts. */
  readonly take: (bytes: number) => boolean
  readonly clock: ClockPort
}

type Reader = ReadableStreamDefaultReader<Uint8Array>

/**
 * Reads and forgets what still comes of a refused body, up to a bound. The answer ends the connection, and a connection that
 * ends with unread bytes is reset: that would take the answer away from a client which has not read it yet.
 */
const discard = async (reader: Reader, clock: ClockPort): Promise<void> => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const cancel = clock.timer(discardMs, resolve)
  const read = async (): Promise<void> => {
    let seen = 0
    for (let piece = await reader.read(); !piece.done && seen < discardLimit; piece = await reader.read())
      seen += piece.value.byteLength
  }
  // a client that has left needs no answer
  read().then(resolve, resolve)
  await promise
  cancel()
}

/** The next piece. A body that breaks off is its client's doing: nobody is there any more who could read an answer. */
const readPiece = async (reader: Reader): ReturnType<Reader["read"]> => {
  try {
    return await reader.read()
  } catch (cause) {
    throw new AppError("InvalidRequest", { detail: "The body of the request broke off.", cause })
  }
}

/** Puts the pieces together; answers why not, if not. */
const gatherAll = async (reader: Reader, gather: Gather): Promise<Overflow | undefined> => {
  for (let piece = await readPiece(reader); !piece.done; piece = await readPiece(reader)) {
    const { buffer, byteOffset, byteLength } = piece.value
    const overflow = gather.add(Buffer.from(buffer, byteOffset, byteLength))
    if (overflow !== undefined) return overflow
  }
  return undefined
}

/**
 * The bytes of a request's body, at most 1 MiB. Throws BodyTooLarge; BodiesTooLarge when the caller may hold no more bytes.
 * Bytes that were taken stay taken: who gave `take` gives them back.
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

/** Media type of most bodies. */
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
  if (fault !== undefined) throw malformed(`The body ${fault.words}.`)
  return JSON.parse(text)
}

/** A body that need not be there: without one it says nothing. `null` is a body, and none that says nothing. */
export const orEmpty = (body: unknown): unknown => (body === undefined ? {} : body)

/**
 * The JSON body of a request: UTF-8, at most 1 MiB, 64 levels and 50,000 members, no key twice in one object or called
 * `__proto__`, no half surrogate pairs; sent as `mediaType`. `undefined` if there is none, whatever the content type.
 * Throws BodyTooLarge, BodiesTooLarge, UnsupportedMediaType, MalformedJson.
 */
export const readJson = async (request: Request, by: BodyReading, mediaType: string = json): Promise<unknown> => {
  const bytes = await readBytes(request, by)
  if (bytes.length === 0) return undefined
  checkMediaType(request.headers, mediaType)
  return parse(bytes)
}
