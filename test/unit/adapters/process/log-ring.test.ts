import { PassThrough, Readable } from "node:stream"
import { finished } from "node:stream/promises"
import { expect, test } from "vitest"
import { captureLines, createLogRing } from "../../../../src/adapters/process/log-ring.ts"

const ringOf = (lines: readonly string[], limits = {}) => {
  const ring = createLogRing(limits)
  for (const line of lines) ring.add(line)
  return ring
}
const numbers = (count: number) => Array.from({ length: count }, (_, index) => `line ${index}`)

test("the oldest lines give way when there are too many", () => {
  expect(ringOf(numbers(100), { lines: 3 }).read()).toBe("line 97\nline 98\nline 99\n")
})

test("the oldest lines give way when they are too long together, but the newest stays", () => {
  expect(ringOf(["aaaa", "bbbb", "cccc"], { bytes: 10 }).read()).toBe("bbbb\ncccc\n")
  expect(ringOf(["short", "far too long"], { bytes: 10 }).read()).toBe("far too long\n")
})

test("tailLines takes the last lines, limitBytes the first bytes of them, never half a character", () => {
  const ring = ringOf(["one", "twö", "three"])
  expect(ring.read({ tailLines: 2 })).toBe("twö\nthree\n")
  expect(ring.read({ tailLines: 0 })).toBe("")
  expect(ring.read({ tailLines: 2, limitBytes: 4 })).toBe("twö")
  expect(ring.read({ tailLines: 2, limitBytes: 3 })).toBe("tw")
})

test("a stream's chunks become lines: across chunks, without an end, with carriage returns, with broken characters", async () => {
  const ring = createLogRing()
  const stream = new PassThrough()
  captureLines(stream, ring)
  stream.write("one\r\ntw")
  stream.write(Buffer.from([0x6f, 0x0a, 0xc3]))
  stream.write(Buffer.from([0xb6, 0x0a]))
  stream.end("last")
  await finished(stream)
  expect(ring.read()).toBe("one\ntwo\nö\nlast\n")
})

test("a line without an end comes by 16 KiB instead of being held back for ever, and no line end comes between", () => {
  const ring = createLogRing()
  const stream = new PassThrough()
  captureLines(stream, ring)
  stream.emit("data", Buffer.alloc(40_000, "a"))
  expect(ring.read()).toBe("a".repeat(32_768))
  stream.emit("data", Buffer.from("\nb\n"))
  expect(ring.read()).toBe(`${"a".repeat(40_000)}\nb\n`)
})

test("where the beginning of a line has given way, what may be the rest of a secret is left out", async () => {
  const ring = createLogRing({ lines: 4 })
  const stream = new PassThrough()
  captureLines(stream, ring)
  const secret = "canary-of-a-secret"
  stream.emit("data", Buffer.from("x".repeat(16_384 - 9)))
  stream.emit("data", Buffer.from(`${secret}${"y".repeat(3 * 16_384)}`))
  expect(ring.read()).toContain(secret)
  const follows = ring.follow({}, undefined)[Symbol.asyncIterator]()
  expect((await follows.next()).value).toContain(secret)
  for (const tailLines of [1, 2, 3]) expect(ring.read({ tailLines })).toMatch(/^y+$/)
  stream.emit("data", Buffer.from("\nb\nc\n"))
  expect(ring.read()).toMatch(/^y+\nb\nc\n$/)
  expect((await follows.next()).value).toMatch(/^y+\nb\nc\n$/)
})

test("a line that comes letter by letter is read once, not again with each letter", () => {
  const ring = createLogRing()
  const stream = new PassThrough()
  captureLines(stream, ring)
  for (const letter of `${"ab".repeat(8_192)}c\r\n\nd\n`) stream.emit("data", Buffer.from(letter))
  expect(ring.read()).toBe(`${"ab".repeat(8_192)}c\n\nd\n`)
})

test("who follows gets what there is and what comes, until the end", async () => {
  const ring = ringOf(["one", "two"])
  const seen: string[] = []
  const following = (async () => {
    for await (const text of ring.follow({ tailLines: 1 }, undefined)) {
      seen.push(text)
      if (text === "three\n") ring.end()
      if (text === "two\n") ring.add("three")
    }
  })()
  await following
  expect(seen).toEqual(["two\n", "three\n"])
  expect(await Readable.from(ring.follow({}, undefined)).toArray()).toEqual(["one\ntwo\nthree\n"])
})

test("who follows slowly misses the lines that gave way, and none twice", async () => {
  const ring = ringOf([], { lines: 2 })
  const following = ring.follow({}, undefined)[Symbol.asyncIterator]()
  ring.add("1")
  expect((await following.next()).value).toBe("1\n")
  for (const line of ["2", "3", "4", "5"]) ring.add(line)
  expect((await following.next()).value).toBe("4\n5\n")
  ring.end()
  expect((await following.next()).done).toBe(true)
})

test("following ends with its signal", async () => {
  const stop = new AbortController()
  const next = ringOf([]).follow({}, stop.signal)[Symbol.asyncIterator]().next()
  stop.abort()
  expect((await next).done).toBe(true)
})
