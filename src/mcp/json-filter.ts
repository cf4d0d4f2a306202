import { isAscii } from "node:buffer"
import { createGrowingBuffer, type GrowingBuffer } from "../intake/bodies.ts"
import { createHeldPieces } from "../intake/held-pieces.ts"
import { type BodyFilter, decode, filterText, maxHeldBytes, mostParsed, tooLong, unreadable } from "./tool-filter.ts"
import type { ToolPolicy } from "./tool-policy.ts"
import { createValueSplitter, type ValueSplitter } from "./value-splitter.ts"

const nothing = Buffer.alloc(0)
const noValue = (): Error => unreadable("The server's answer is not a JSON object.")

/** The keys that a policy looks at, in any case. */
const keys = /tools|cachescope/i
/** Most bytes of a key. */
const longestKey = "cachescope".length

/**
 * True if a policy cannot change an ASCII text: it does not have the keys `tools` and `cacheScope`, in any case, nor
 * escapes that could write such a key, nor NUL, of which other encodings are full.
 */
const isCleanText = (text: string): boolean => !(keys.test(text) || text.includes("\\u") || text.includes("\0"))

/**
 * The same for a piece of a long body; `before`: the last {@link longestKey} bytes before the piece, where a key may have
 * begun. Searched by native code: reading 1 MB byte by byte takes longer than sending it. Keys stand in quotes (RFC 8259
 * §4), so a piece without one, of base64 for instance, completes no key. That takes 2 µs for 64 KiB, a search for the
 * keys 10 µs, and a search in a copy in lower case took 13 to 70 µs.
 */
const isCleanPiece = (piece: Buffer, before: string): boolean => {
  if (!isAscii(piece) || piece.includes(0) || piece.includes("\\u")) return false
  if (!isCleanText(before + piece.toString("latin1", 0, longestKey))) return false
  return !(piece.includes('"') && keys.test(piece.toString("latin1")))
}

const isContainer = (text: string): boolean => {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === "object" && value !== null
  } catch {
    return false
  }
}

/** True for one whole value, or more in a batch, that a policy cannot change; short ones only. */
const isCleanValue = (bytes: Buffer): boolean => {
  if (bytes.length > mostParsed || !isAscii(bytes)) return false
  const text = bytes.toString("latin1")
  return isCleanText(text) && isContainer(text)
}

/** Filters the messages of a JSON body, holding one message at a time. */
const filterValues = (policy: ToolPolicy): BodyFilter => {
  /** Absent until there is a piece that is not one clean value. */
  let splitter: ValueSplitter | undefined
  const filterValue = (value: Buffer): Buffer => {
    const filtered = filterText(decode(value), policy)
    return filtered === undefined ? value : Buffer.from(filtered)
  }
  return {
    push: (chunk) => {
      if (splitter === undefined && isCleanValue(chunk)) return chunk
      splitter ??= createValueSplitter(maxHeldBytes, { tooLong, noValue })
      const values = splitter.push(chunk)
      return values.length === 0 ? nothing : Buffer.concat(values.map(filterValue))
    },
    end: () => {
      if (splitter?.isInside()) throw unreadable("The server's answer ended in the middle of a message.")
      return splitter?.rest() ?? nothing
    },
  }
}

/**
 * Filters a short body, whose length is known: held until it is whole. A class: as closures it was 0.5 KB of each
 * request.
 */
class ShortFilter implements BodyFilter {
  readonly #policy: ToolPolicy
  readonly #length: number
  /** Absent while the body is in one piece. */
  #held: GrowingBuffer | undefined
  #passed = false

  constructor(policy: ToolPolicy, length: number) {
    this.#policy = policy
    this.#length = length
  }

  push(chunk: Buffer): Buffer {
    if (this.#held === undefined && chunk.length === this.#length) return this.#filter(chunk)
    this.#held ??= createGrowingBuffer()
    this.#held.add(chunk)
    return this.#held.length < this.#length ? nothing : this.#filter(this.#held.take())
  }

  end(): Buffer {
    return this.#held === undefined || this.#held.length === 0 ? nothing : this.#strictly(this.#held.take())
  }

  isWhole(): boolean {
    return this.#passed
  }

  #filter(bytes: Buffer): Buffer {
    this.#passed = isCleanValue(bytes)
    return this.#passed ? bytes : this.#strictly(bytes)
  }

  #strictly(bytes: Buffer): Buffer {
    const strict = filterValues(this.#policy)
    const out = strict.push(bytes)
    return Buffer.concat([out, strict.end()])
  }
}

const beginsContainer = (bytes: Buffer): boolean => /^[ \t\r\n]*[{[]/.test(bytes.toString("latin1", 0, 64))

/**
 * Filters a long body: passes its pieces for as long as they are clean. From the first other piece on, the body is
 * filtered from its beginning, and what was passed is left out of the result, whose beginning must be the same.
 */
const filterLong = (policy: ToolPolicy): BodyFilter => {
  /** What was passed, in case that the body must be filtered after all. */
  const passed = createHeldPieces()
  let tail = ""
  let strict: BodyFilter | undefined
  /** The bytes that were passed and that the strict filter has not returned yet. */
  let sent: Buffer = nothing

  const unsent = (out: Buffer): Buffer => {
    const known = Math.min(out.length, sent.length)
    if (!out.subarray(0, known).equals(sent.subarray(0, known)))
      throw unreadable("The tool policy would change a part of the answer that was already sent.")
    sent = sent.subarray(known)
    return out.subarray(known)
  }
  const turnStrict = (): BodyFilter => {
    strict = filterValues(policy)
    sent = passed.take()
    unsent(strict.push(sent))
    return strict
  }
  return {
    push: (chunk) => {
      if (strict === undefined && (passed.length > 0 || beginsContainer(chunk)) && isCleanPiece(chunk, tail)) {
        tail = (tail + chunk.toString("latin1", Math.max(0, chunk.length - longestKey))).slice(-longestKey)
        passed.add(chunk)
        return chunk
      }
      return unsent((strict ?? turnStrict()).push(chunk))
    },
    end: () => {
      if (strict !== undefined) return unsent(strict.end())
      // now, since the objects of a finished call may be collected much later
      passed.clear()
      return nothing
    },
  }
}

/**
 * Filters the messages of a JSON body. Answers of tools name no tools: where a body's length is known, a native search
 * finds that nothing must be cut, and the bytes pass as they are.
 * @param length Content-Length; undefined if the server sent none
 */
export const filterJson = (policy: ToolPolicy, length?: number): BodyFilter => {
  if (length === undefined || length > maxHeldBytes) return filterValues(policy)
  return length <= mostParsed ? new ShortFilter(policy, length) : filterLong(policy)
}
