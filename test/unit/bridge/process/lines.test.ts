import { describe, expect, test } from "vitest"
import { createLineSplitter } from "../../../../src/bridge/process/lines.ts"

/** The lines of some bytes that come in these pieces; `undefined` stands for one that was too long. */
const split = (pieces: readonly (string | Buffer)[], limit = 1_000): readonly (string | undefined)[] => {
  const lines: (string | undefined)[] = []
  const splitter = createLineSplitter(limit, {
    line: (line) => void lines.push(line.toString()),
    tooLong: () => void lines.push(undefined),
  })
  for (const piece of pieces) splitter.push(Buffer.from(piece))
  return lines
}

/** A text in all ways to cut it into three pieces. */
const cuts = (text: string): readonly (readonly Buffer[])[] => {
  const bytes = Buffer.from(text)
  const positions = Array.from({ length: bytes.length + 1 }, (_, at) => at)
  return positions.flatMap((first) =>
    positions
      .filter((second) => second >= first)
      .map((second) => [bytes.subarray(0, first), bytes.subarray(first, second), bytes.subarray(second)]),
  )
}

describe("the lines of a pipe", () => {
  test("are the same however the pipe cuts them, in UTF-8 too", () => {
    const text = 'a€\r\n\n𝄞"\\r"\r\n\r\nlast\nrest'
    for (const pieces of cuts(text)) expect(split(pieces)).toEqual(["a€", '𝄞"\\r"', "last"])
  })

  test("end with LF or CRLF, while a CR within a line stays", () => {
    expect(split(["a\rb\r\nc\n\r\n\r\r\n"])).toEqual(["a\rb", "c", "\r"])
  })

  test("without an end are not read", () => {
    expect(split(["a", "b"])).toEqual([])
  })

  test("of the limit pass, and one byte more is too much: it is told once, and the next line is read", () => {
    for (const pieces of cuts("12345\n123456\n1234567890123\nok\n"))
      expect(split(pieces, 5)).toEqual(["12345", undefined, undefined, "ok"])
  })

  test("keep none of the bytes of a line that is too long", () => {
    const before = process.memoryUsage().arrayBuffers
    const lines: string[] = []
    const splitter = createLineSplitter(1_000, { line: (line) => void lines.push(line.toString()), tooLong: () => {} })
    const piece = Buffer.alloc(65_536, "x")
    for (let at = 0; at < 4_000; at++) splitter.push(piece)
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 20)
    splitter.push(Buffer.from("\nok\n"))
    expect(lines).toEqual(["ok"])
  })

  test("do not keep the block of memory that a small piece was read into", () => {
    const whole: Buffer[] = []
    const splitter = createLineSplitter(1_000, { line: (line) => void whole.push(line), tooLong: () => {} })
    const block = Buffer.alloc(65_536, "x")
    splitter.push(block.subarray(0, 5))
    block.fill("y")
    splitter.push(Buffer.from("\n"))
    expect(whole[0]?.toString()).toBe("xxxxx")
  })
})
