import type { BodySink, UpstreamAnswer } from "../../../src/gateway/wire/upstream-answer.ts"
import { toWebResponse } from "../../../src/gateway/wire/web-response.ts"
import { filterJson } from "../../../src/mcp/json-filter.ts"
import { readAnswer } from "../../../src/mcp/read-answer.ts"
import { type BodyFilter, filterEvents } from "../../../src/mcp/tool-filter.ts"
import { createToolPolicies, type ToolPolicy } from "../../../src/mcp/tool-policy.ts"
import { aTarget } from "../../support/build/target.ts"
import type { Door, Family, Read } from "../family.ts"

const mebibyte = 2 ** 20
/** Just under the largest message, so that what stands around fits. */
const largest = 4 * mebibyte - 256

const policyWith = (...deny: string[]) => {
  const policy = createToolPolicies()(aTarget({ spec: { tools: { deny } } }))
  if (policy === undefined) throw new Error("there is no policy")
  return policy
}
const plain = policyWith("hidden*")
const long = policyWith(`*${"a".repeat(500)}*b`)
const many = policyWith(...Array.from({ length: 100 }, (_, at) => `*${"a?".repeat(500)}*${at}`))

/** The text in pieces of a size; each is a buffer of its own, as a server's small chunks are. */
const piecesOf = (bytes: Buffer, size: number): readonly Buffer[] =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) =>
    Buffer.from(bytes.subarray(at * size, (at + 1) * size)),
  )

/** What a socket brings at once. */
const wholePiece = 64 * 1_024

/** Goes through pieces as they come from a socket: the loop turns after each 64 KiB. */
const feed = async (pieces: readonly Buffer[], push: (piece: Buffer) => unknown): Promise<void> => {
  let since = 0
  for (const piece of pieces) {
    push(piece)
    since += piece.length
    if (since < wholePiece) continue
    since = 0
    await new Promise(setImmediate)
  }
}

const through = (filter: () => BodyFilter, text: string, size: number): Read => {
  const pieces = piecesOf(Buffer.from(text), size)
  return async () => {
    const each = filter()
    await feed(pieces, each.push)
    each.end()
  }
}

/** Families of bodies behind a filter: their text, its largest size, the size of its pieces, the policy. */
const filtered =
  (filterBy: (policy: ToolPolicy) => BodyFilter) =>
  (name: string, text: (size: number) => string, most = largest, piece = wholePiece, policy = plain): Family => ({
    name,
    largest: most,
    make: (size) => through(() => filterBy(policy), text(size), piece),
  })
const inEvents = filtered((policy) => filterEvents(() => policy))
const inJson = filtered((policy) => filterJson(policy))
/** The same with a Content-Length: a short body is held until it is whole, a long one passes while it is clean. */
const inJsonOf = (name: string, text: (size: number) => string, piece = wholePiece, most = largest): Family => ({
  name,
  largest: most,
  make: (size) => {
    const body = text(size)
    return through(() => filterJson(plain, Buffer.byteLength(body)), body, piece)
  },
})

const data = (json: string): string => `data: ${json}\n\n`
const result = (member: string): string => `{"jsonrpc":"2.0","id":1,"result":{${member}}}`
const content = (size: number): string => result(`"content":[{"type":"text","text":"${"x".repeat(size)}"}]`)
const tools = (count: number, name: string): string =>
  result(`"tools":[${Array.from({ length: count }, () => `{"name":"${name}"}`).join()}]`)
const kiloName = "a".repeat(1_000)

/** An answer whose body comes in pieces, as the reader of a re-opened session gets it. */
const answerOf = (pieces: readonly Buffer[], type: string): UpstreamAnswer => ({
  status: 200,
  headers: { "content-type": type },
  consume: (sink: BodySink) => void feed(pieces, (piece) => sink.data(piece)).then(() => sink.end()),
  resume: () => {},
  abort: () => {},
})

const bodyOf = (pieces: readonly Buffer[]): ReadableStream<Uint8Array> =>
  new ReadableStream({
    start: (controller) => void feed(pieces, (piece) => controller.enqueue(piece)).then(() => controller.close()),
  })

const reopened = (name: string, type: string, text: (size: number) => string, piece: number): Family => ({
  name,
  largest: mebibyte - 256,
  make: (size) => {
    const pieces = piecesOf(Buffer.from(text(size)), piece)
    return () => readAnswer(toWebResponse(answerOf(pieces, type), { close: () => {} }), { id: 1, maxBytes: mebibyte })
  },
})
const tried = (name: string, type: string, text: (size: number) => string, piece: number): Family => ({
  name,
  largest: largest,
  make: (size) => {
    const pieces = piecesOf(Buffer.from(text(size)), piece)
    return () =>
      readAnswer(new Response(bodyOf(pieces), { headers: { "content-type": type } }), { id: 1, maxBytes: 4 * mebibyte })
  },
})

const events = "text/event-stream"
const json = "application/json"

export const doors: readonly Door[] = [
  {
    name: "answer of a server, behind a tool policy",
    limit:
      "4 MiB for an event or a message; 1,024 characters for a tool's name; about 100 ms for all names of a message",
    families: [
      inEvents("an event in one-byte pieces", (size) => data(content(size)), largest, 1),
      inEvents("an event in pieces of 100 bytes", (size) => data(content(size)), largest, 100),
      inEvents("an event that never ends, in one-byte pieces", (size) => `data: ${"x".repeat(size)}`, largest, 1),
      inEvents("line ends", (size) => "\n".repeat(size)),
      inEvents("carriage returns in one-byte pieces", (size) => "\r".repeat(size), largest, 1),
      inEvents("comments", (size) => ":\n\n".repeat(size / 3)),
      inEvents("empty data lines", (size) => `${"data:\n".repeat(size / 6)}\n`),
      inEvents("lines of one letter", (size) => `${"a\n".repeat(size / 2)}\n`),
      inEvents("an id of many letters", (size) => `id: ${"1".repeat(size)}\ndata: {}\n\n`),
      inEvents("a key of combining marks", (size) => data(result(`"tools${"\u0301\u0323".repeat(size / 4)}":[]`))),
      inEvents("line separators in a string", (size) => data(result(`"x":"${"\u2028".repeat(size / 3)}"`))),
      inEvents("small messages", (size) => data('{"result":{"tools":[]}}').repeat(size / 31)),
      inJson("a body in one-byte pieces", content, largest, 1),
      inJson("a body that never ends, in one-byte pieces", (size) => `{"result":"${"x".repeat(size)}`, largest, 1),
      inJsonOf("a body of a known length, in one-byte pieces", content, 1),
      inJsonOf("a body of a known length in pieces of 16 KiB", content, 16_384),
      inJsonOf(
        "a body of a known length with tools at its end",
        (size) => result(`"x":"${"x".repeat(size)}","tools":[{}]`),
        16_384,
      ),
      inJsonOf(
        "a body of a known length full of escapes",
        (size) => result(`"x":"${"\\u0074".repeat(size / 6)}"`),
        16_384,
      ),
      inJson("open arrays", (size) => "[".repeat(size)),
      inJson("small members", (size) => result(`"tools":[],${'"a":1,'.repeat(size / 6)}"z":1`)),
      inJson("small members with escapes", (size) => result(`"tools":[],${'"\\u0061":1,'.repeat(size / 11)}"z":1`)),
      inJson("empty tools", (size) => result(`"tools":[${"{},".repeat(size / 3)}{}]`)),
      inJson("lists of tools again and again", (size) => result(`${'"tools":[{}],'.repeat(size / 13)}"z":1`)),
      inJson("a batch of lists", (size) => `[${'{"result":{"tools":[{}]}},'.repeat(size / 26)}{}]`),
      inJson("keys that may mean tools", (size) => result(`${'"tool\\u0073":[],'.repeat(size / 16)}"z":1`)),
      inJson("names of 1 kB against a glob of 500 letters", (count) => tools(count, kiloName), 4_000, wholePiece, long),
      inJson("names of 1 kB against 100 globs of 1,000", (count) => tools(count, kiloName), 4_000, wholePiece, many),
      inJson("names of one letter", (count) => tools(count, "a"), 250_000, wholePiece, long),
      inJson("one list of hidden tools", (count) => tools(count, "hidden"), 200_000),
    ],
  },
  {
    name: "answer to the opening of a session",
    limit: "1 MiB, 30 s",
    families: [
      reopened("events in pieces of 10 bytes", events, (size) => data(content(size)), 10),
      reopened("events that say nothing", events, (size) => data("{}").repeat(size / 10), wholePiece),
      reopened("JSON in pieces of 10 bytes", json, content, 10),
    ],
  },
  {
    name: "answer to the test of a target",
    limit: "4 MiB, 20 s",
    families: [
      tried("events in pieces of 10 bytes", events, (size) => data(content(size)), 10),
      tried("an event that never ends, in pieces of 10 bytes", events, (size) => `data: ${"x".repeat(size)}`, 10),
      tried("events that say nothing", events, (size) => data("{}").repeat(size / 10), wholePiece),
      tried("line ends", events, (size) => "\r\n".repeat(size / 2), wholePiece),
      tried("JSON in pieces of 10 bytes", json, content, 10),
      tried("tools without names", json, (size) => result(`"tools":[${"{},".repeat(size / 3)}{}]`), wholePiece),
    ],
  },
]
