/**
 * Reads HTTP/1.1 answers from a connection on which one request is open at a time. It reads just enough to know when an
 * answer is complete, so that the generator of a load needs little CPU time.
 */

const lineEnd = Buffer.from("\r\n")
const headEnd = Buffer.from("\r\n\r\n")
const none = Buffer.alloc(0)
/** Longest head, in bytes. */
const maxHead = 64 * 1024

type Part = "head" | "sized" | "chunk size" | "chunk" | "chunk end" | "trailer" | "until close"

/** The head of an answer, as far as it counts. */
export type AnswerHead = {
  readonly status: number
  /** Length of the body; undefined = in chunks, or until the connection closes. */
  readonly length: number | undefined
  readonly isChunked: boolean
  /** False if the server closes the connection after this answer. */
  readonly keepsAlive: boolean
}

/** Reads the text of a head without the empty line. Throws if it is not HTTP/1. */
export const parseHead = (text: string): AnswerHead => {
  const [, minor, status] = /^HTTP\/1\.([01]) (\d{3})/.exec(text) ?? []
  if (status === undefined) throw new Error(`this is no HTTP/1 answer: ${text.slice(0, 80)}`)
  const header = (name: string) => new RegExp(`\\r\\n${name}:[ \\t]*([^\\r\\n]*)`, "i").exec(text)?.[1]?.trim()
  const length = header("content-length")
  const isChunked = header("transfer-encoding")?.toLowerCase() === "chunked"
  const connection = header("connection")?.toLowerCase()
  const hasNoBody = status === "204" || status === "304" || status.startsWith("1")
  return {
    status: Number(status),
    length: hasNoBody ? 0 : isChunked || length === undefined ? undefined : Number(length),
    isChunked: isChunked && !hasNoBody,
    keepsAlive: minor === "1" ? connection !== "close" : connection === "keep-alive",
  }
}

/** Reads the answers of one connection, one after the other. */
export class AnswerReader {
  /** Status of the answer that was begun last; 0 = none of its bytes were understood yet. */
  status = 0
  /** True once the head of the current answer is read. */
  hasHead = false
  /** False if the connection cannot be used after this answer. */
  keepsAlive = true
  /** Bytes of the current answer's body so far. */
  bodyBytes = 0
  /** True if the body has the text that was looked for; true if none was. */
  hasText = false
  readonly #text: Buffer | undefined
  #part: Part = "head"
  /** Bytes of a head or a line that is not complete. */
  #rest: Buffer = none
  #left = 0

  /** `text`: what is looked for in each body; found only if a single piece of a body has all of it. */
  constructor(text?: string) {
    this.#text = text === undefined ? undefined : Buffer.from(text)
  }

  /** Takes the next piece; true if the answer is complete with it. Throws on bytes that are no answer. */
  push(piece: Buffer): boolean {
    let at = 0
    while (at < piece.length) {
      if (this.#part === "head" && this.hasHead) this.#reset()
      const isBody = this.#part === "sized" || this.#part === "chunk" || this.#part === "until close"
      at = isBody ? this.#takeBody(piece, at) : this.#takeLine(piece, at)
      if (this.#part !== "head" || !this.hasHead) continue
      if (at < piece.length) throw new Error("the server sent more than its answer")
      return true
    }
    return false
  }

  /** Says that the server has closed the connection; true if this completes an answer. */
  close(): boolean {
    if (this.#part !== "until close") return false
    this.#part = "head"
    return true
  }

  #reset(): void {
    this.status = 0
    this.hasHead = false
    this.bodyBytes = 0
    this.hasText = false
  }

  /** Takes a head, or a line between chunks, from `at` on; returns where it ends. */
  #takeLine(piece: Buffer, at: number): number {
    const mark = this.#part === "head" ? headEnd : lineEnd
    const known = this.#rest.length
    const text = known === 0 ? piece.subarray(at) : Buffer.concat([this.#rest, piece.subarray(at)])
    const end = text.indexOf(mark)
    if (end < 0) {
      if (text.length > maxHead) throw new Error("the head of the answer is too long")
      // a copy: the caller uses the memory of the piece again
      this.#rest = Buffer.from(text)
      return piece.length
    }
    this.#rest = none
    this.#understand(text.toString("latin1", 0, end))
    return at + end + mark.length - known
  }

  #understand(line: string): void {
    if (this.#part === "head") this.#begin(parseHead(line))
    else if (this.#part === "chunk end") this.#part = "chunk size"
    else if (this.#part === "chunk size") this.#beginChunk(line)
    else if (line === "") this.#part = "head"
  }

  #beginChunk(line: string): void {
    this.#left = Number.parseInt(line, 16)
    if (Number.isNaN(this.#left)) throw new Error(`this is no size of a chunk: ${line.slice(0, 80)}`)
    this.#part = this.#left === 0 ? "trailer" : "chunk"
  }

  #begin({ status, length, isChunked, keepsAlive }: AnswerHead): void {
    // 1xx announces another head
    if (status < 200) return
    this.status = status
    this.hasHead = true
    this.keepsAlive = keepsAlive && (isChunked || length !== undefined)
    if (this.#text === undefined) this.hasText = true
    if (isChunked) this.#part = "chunk size"
    else if (length === undefined) this.#part = "until close"
    else if (length > 0) {
      this.#part = "sized"
      this.#left = length
    }
  }

  #takeBody(piece: Buffer, at: number): number {
    const isEndless = this.#part === "until close"
    const end = isEndless ? piece.length : Math.min(piece.length, at + this.#left)
    this.#look(piece, at, end)
    this.bodyBytes += end - at
    if (isEndless) return end
    this.#left -= end - at
    if (this.#left > 0) return end
    this.#part = this.#part === "sized" ? "head" : "chunk end"
    return end
  }

  #look(piece: Buffer, at: number, end: number): void {
    if (this.hasText || this.#text === undefined) return
    const found = piece.indexOf(this.#text, at)
    if (found >= 0 && found + this.#text.length <= end) this.hasText = true
  }
}
