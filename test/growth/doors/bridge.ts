import { setImmediate as turn } from "node:timers/promises"
import { createMask } from "../../../src/bridge/explain.ts"
import { readBody } from "../../../src/bridge/incoming.ts"
import { createBridgeLog } from "../../../src/bridge/log.ts"
import { Peer } from "../../../src/bridge/peer.ts"
import { createLineSplitter } from "../../../src/bridge/process/lines.ts"
import { createTail } from "../../../src/bridge/process/tail.ts"
import type { Door, Family } from "../family.ts"

const kibibyte = 2 ** 10
const mebibyte = 2 ** 20
/** Just under the largest body and line, so that what stands around fits. */
const largest = 16 * mebibyte - 256
const members = 50_000
/** What the kernel's pipe gives at once. */
const pipeBytes = 65_536

const sink = { note: () => {}, answer: () => {}, over: () => {} }
const nobody = { request: () => {}, notification: () => {}, junk: () => {} }
/** A child to which nothing is written. */
const child = { ended: new Promise(() => {}), write: () => true } as unknown as Peer["child"]

/** A client's body, up to what is written to its server. */
const body = (name: string, text: (size: number) => string, size = largest): Family => ({
  name,
  largest: size,
  make: (each) => {
    const bytes = Buffer.from(text(each))
    const peer = new Peer(child, nobody)
    return () => {
      const read = readBody(bytes)
      if ("messages" in read) for (const each of read.messages) peer.call(each.text, each.envelope, sink)
    }
  },
})

const message = (params: string): string => `{"jsonrpc":"2.0","id":1,"method":"ping","params":${params}}`
const meta = (member: string): string => message(`{"_meta":{${member}}}`)
/** Where the most names are looked for. */
const nextTo = (member: string): string => `{"jsonrpc":"2.0","id":1,"method":"ping",${member}}`
const unformed = `"${"\u00ad".repeat(150)}é":1,`

/** Bytes in pieces as a pipe gives them; after 64 KiB of them others have their turn. */
const inPieces = async (bytes: Buffer, length: number, take: (piece: Buffer) => void): Promise<void> => {
  const atOnce = Math.max(1, Math.floor(pipeBytes / length))
  for (let at = 0, sent = 1; at < bytes.length; at += length, sent++) {
    take(bytes.subarray(at, at + length))
    if (sent % atOnce === 0) await turn()
  }
}

/** A line that a server writes to its stdout, from the pipe to what the bridge sends on. */
const line = (name: string, text: (size: number) => string, size = largest, length = pipeBytes): Family => ({
  name,
  largest: size,
  make: (each) => {
    const bytes = Buffer.from(`${text(each)}\n`)
    const peer = new Peer(child, nobody)
    const splitter = createLineSplitter(16 * mebibyte, { line: (whole) => peer.take(whole), tooLong: () => {} })
    return () => inPieces(bytes, length, (piece) => splitter.push(piece))
  },
})

const told = (member: string): string => `{"jsonrpc":"2.0","method":"notifications/x",${member}}`

/** What a server writes to its stderr: into the log, and into what is kept of its end. */
const stderr = (name: string, text: (size: number) => string, length: number, size = 4 * mebibyte): Family => ({
  name,
  largest: size,
  make: (each) => {
    const bytes = Buffer.from(text(each))
    const tail = createTail()
    const log = createBridgeLog(() => {}).stream("c1")
    return async () => {
      await inPieces(bytes, length, (piece) => {
        tail.add(piece)
        log.write(piece)
      })
      log.end()
      tail.read()
    }
  },
})

/**
 * The last lines of a server, and its environment. Masking costs as much as both multiplied, since each value that begins
 * somewhere in the lines is looked for; so one of them grows here, and the other has a quarter of its largest size.
 */
const masked = (name: string, value: (size: number) => string, log: (size: number) => string): readonly Family[] => {
  const family = (what: string, largest: number, sizes: (size: number) => readonly [number, number]): Family => ({
    name: `${name}, ${what}`,
    largest,
    make: (size) => {
      const [ofValue, ofLog] = sizes(size)
      const [environment, text] = [{ VALUE: value(ofValue) }, log(ofLog)]
      return () => createMask(environment)(text)
    },
  })
  return [
    family("more lines", 64 * kibibyte, (size) => [8 * kibibyte, size]),
    family("more values", 32 * kibibyte, (size) => [size, 16 * kibibyte]),
  ]
}

const numbered = (beginning: string) => (size: number) =>
  Array.from({ length: size / (beginning.length + 9) }, (_, at) => beginning + String(at).padStart(8, "0")).join("\n")

export const doors: readonly Door[] = [
  {
    name: "body of a request to the bridge",
    limit: "16 MiB, 50,000 members and elements, 100 levels, 100 messages",
    families: [
      body("a key of combining marks", (size) => meta(`"a${"\u0301\u0323".repeat(size / 4)}":1`)),
      body("a key of characters without a form", (size) => meta(`"${"\u200b".repeat(size / 3)}progressToken":1`)),
      body("a key of such characters that means no name", (size) => nextTo(`"${"\u00ad".repeat(size / 2)}":1`)),
      body("keys of such characters", (count) => nextTo(`${unformed.repeat(count)}"z":1`), members - 10),
      body("a key of backslashes", (size) => meta(`"${"\\\\".repeat(size / 2)}":1`)),
      body("keys that nearly decide", (count) => meta(`${'"progressTokem":1,'.repeat(count)}"z":1`), members - 10),
      body(
        "keys that are not plain",
        (count) => meta(`${`"\u00e9${"\u0301".repeat(30)}":1,`.repeat(count)}"z":1`),
        members - 10,
      ),
      body("a batch of messages", (count) => `[${Array.from({ length: count }, () => message("{}")).join()}]`, 100),
      body("one string of text", (size) => message(`{"x":"${"x".repeat(size)}"}`)),
      body("line ends between tokens", (size) => message(`${"\n".repeat(size)}{}`)),
      body("an id of many digits", (size) => `{"jsonrpc":"2.0","method":"m","id":${"1".repeat(size)}}`),
    ],
  },
  {
    name: "line of a stdio server",
    limit: "16 MiB; longer ones are dropped",
    families: [
      line("one string of text", (size) => told(`"params":{"x":"${"x".repeat(size)}"}`)),
      line("in pieces of one byte", (size) => told(`"params":{"x":"${"x".repeat(size)}"}`), mebibyte, 1),
      line("in pieces of 100 bytes", (size) => told(`"params":{"x":"${"x".repeat(size)}"}`), largest, 100),
      line("longer than the limit", (size) => "x".repeat(2 * size), largest),
      line("nothing but line ends", (size) => "\r\n".repeat(size / 2), 4 * mebibyte),
      line("open arrays", (size) => "[".repeat(size)),
      line("open arrays in a message", (size) => told(`"params":${"[".repeat(size)}`)),
      line("carriage returns between tokens", (size) => told(`"params":${"\r".repeat(size)}{}`)),
      line("a string of backslashes", (size) => told(`"params":{"x":"${"\\\\".repeat(size / 2)}"}`)),
      line("keys of the envelope again and again", (size) =>
        told(`"params":{${'"requestId":1,'.repeat(size / 14)}"z":1}`),
      ),
      line("a short message again and again", (size) => `${told('"params":{}')}\n`.repeat(size / 60), 4 * mebibyte),
    ],
  },
  {
    name: "stderr of a stdio server",
    limit: "16 KiB for a line of the log, 64 KiB are kept",
    families: [
      stderr("one line without an end", (size) => "x".repeat(size), pipeBytes),
      stderr("one line without an end, in pieces of one byte", (size) => "x".repeat(size), 1, mebibyte),
      stderr("line ends, in pieces of one byte", (size) => "\n".repeat(size), 1, mebibyte),
      stderr("short lines", (size) => "ab\n".repeat(size / 3), pipeBytes),
      stderr("characters of four bytes, cut everywhere", (size) => "\u{1f600}".repeat(size / 4), 3, mebibyte),
    ],
  },
  {
    name: "last lines of a stdio server, and the environment that is masked in them",
    limit: "32 KiB of values, 64 KiB of lines",
    families: [
      ...masked("values that are in no line", numbered("a"), (size) => "b".repeat(size)),
      ...masked("lines of the value", numbered("a"), numbered("a")),
      ...masked("values of one beginning", numbered("aaaaaaaa"), (size) => "a".repeat(size)),
      ...masked(
        "a value that the log nearly has",
        (size) => `${"a".repeat(size / 2)}b`,
        (size) => "a".repeat(size),
      ),
    ],
  },
]
