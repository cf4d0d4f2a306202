import { expect, test } from "vitest"
import { AnswerReader, parseHead } from "../../bench/answer-reader.ts"
import { encodeRequest } from "../../bench/connection.ts"

/** Feeds a text in pieces of `size` bytes; the number of answers that were complete. */
const feed = (reader: AnswerReader, text: string, size: number): number => {
  let complete = 0
  // one memory for all pieces, as a connection has it
  const memory = Buffer.alloc(size)
  for (let at = 0; at < text.length; at += size) {
    const length = memory.write(text.slice(at, at + size), "latin1")
    if (reader.push(memory.subarray(0, length))) complete++
  }
  return complete
}

const sized = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;ext=1\r\nlo\r\n0\r\n\r\n"
const withTrailer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx: 1\r\ny: 2\r\n\r\n"
const early = `HTTP/1.1 103 Early Hints\r\nlink: <a>\r\n\r\n${sized}`
const empty = "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"
const none = "HTTP/1.1 204 No Content\r\n\r\n"

test.each([
  ["with a length", sized, 200, 5],
  ["in chunks", chunked, 200, 5],
  ["in chunks, with a trailer", withTrailer, 200, 5],
  ["after early hints", early, 200, 5],
  ["without a body", empty, 202, 0],
  ["that can have no body", none, 204, 0],
])("an answer %s is complete with its last byte, however it is cut", (_name, text, status, bytes) => {
  for (let size = 1; size <= text.length; size++) {
    const reader = new AnswerReader()
    expect(feed(reader, text.slice(0, -1), size), `pieces of ${size}`).toBe(0)
    expect(feed(reader, text.slice(-1), 1)).toBe(1)
    expect(reader).toMatchObject({ status, bodyBytes: bytes, hasText: true, keepsAlive: true })
  }
})

test("answers on one connection are counted one by one", () => {
  const reader = new AnswerReader("hello")
  for (const text of [sized, chunked, empty, sized]) expect(feed(reader, text, 1_000)).toBe(1)
  expect(reader.bodyBytes).toBe(5)
})

test.each([
  ["hello", sized, true],
  ["bye", sized, false],
  // the mark behind the body belongs to no body
  ["0\r\n", chunked, false],
])("whether a body has the text %j is known", (text, answer, found) => {
  const reader = new AnswerReader(text)
  expect(feed(reader, answer, 1_000)).toBe(1)
  expect(reader.hasText).toBe(found)
})

test("a text that was found counts for one answer only", () => {
  const reader = new AnswerReader("hello")
  feed(reader, sized, 1_000)
  feed(reader, empty, 1_000)
  expect(reader.hasText).toBe(false)
})

test("a body without a length ends with its connection, which cannot be used again", () => {
  const reader = new AnswerReader()
  expect(feed(reader, "HTTP/1.1 200 OK\r\n\r\nhello", 4)).toBe(0)
  expect(reader.close()).toBe(true)
  expect(reader).toMatchObject({ bodyBytes: 5, keepsAlive: false })
})

test("a connection that closes within an answer does not complete it", () => {
  const reader = new AnswerReader()
  feed(reader, sized.slice(0, -1), 1_000)
  expect(reader.close()).toBe(false)
})

test.each([
  ["more bytes than the answer has", `${sized}!`],
  ["what is no HTTP", "SSH-2.0-OpenSSH\r\n\r\n"],
  ["a size of a chunk that is no number", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n"],
  ["a head without an end", `HTTP/1.1 200 OK\r\nx: ${"a".repeat(70_000)}`],
])("the reader refuses %s", (_name, text) => {
  expect(() => feed(new AnswerReader(), text, 100_000)).toThrow()
})

test.each([
  ["HTTP/1.1 200 OK\r\nConnection: close", false],
  ["HTTP/1.1 200 OK\r\nconnection: keep-alive", true],
  ["HTTP/1.0 200 OK", false],
  ["HTTP/1.0 200 OK\r\nConnection: Keep-Alive", true],
])("the head %j says whether the connection stays", (text, keepsAlive) => {
  expect(parseHead(text).keepsAlive).toBe(keepsAlive)
})

test("a request is encoded with its host and the length of its body in bytes", () => {
  const request = encodeRequest({ url: "http://127.0.0.1:80/mcp?a=1", headers: { accept: "*/*" }, body: "é" })
  expect(request.toString()).toBe(
    "POST /mcp?a=1 HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: */*\r\ncontent-length: 2\r\n\r\né",
  )
  expect(encodeRequest({ url: "http://a:1/" }).toString()).toBe("GET / HTTP/1.1\r\nhost: a:1\r\n\r\n")
})
