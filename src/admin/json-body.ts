import { AppError } from "../errors.ts"
import { findJsonFault } from "../intake/json-text.ts"
import { isUtf8, parseMediaType } from "../intake/media-type.ts"

/** Largest body of the REST API, in bytes. */
const maxBytes = 1024 * 1024
/** Deepest nesting of arrays and objects. */
const maxDepth = 64

const tooLarge = (): AppError =>
  new AppError("BodyTooLarge", { detail: "The body is larger than 1 MiB.", headers: { connection: "close" } })

const malformed = (detail: string): AppError => new AppError("MalformedJson", { detail })

const readBytes = async (request: Request): Promise<Buffer> => {
  if (Number(request.headers.get("content-length") ?? 0) > maxBytes) throw tooLarge()
  const chunks: Uint8Array[] = []
  let total = 0
  for await (const chunk of request.body ?? []) {
    total += chunk.byteLength
    if (total > maxBytes) throw tooLarge()
    chunks.push(chunk)
  }
  return Buffer.concat(chunks, total)
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

/**
 * The JSON body of a request: UTF-8, at most 1 MiB, 64 levels and 50,000 members, no key twice in one object or called
 * `__proto__`, no half surrogate pairs; sent as `mediaType`. `undefined` if there is none, whatever the content type.
 * Throws BodyTooLarge, UnsupportedMediaType, MalformedJson.
 */
export const readJson = async (request: Request, mediaType: string = json): Promise<unknown> => {
  const bytes = await readBytes(request)
  if (bytes.length === 0) return undefined
  checkMediaType(request.headers, mediaType)
  return parse(bytes)
}
