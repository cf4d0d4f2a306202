import { headerTemplatePattern } from "../../../src/api/header-template.ts"
import type { MCPTarget } from "../../../src/api/kinds/mcp-target.ts"
import { ensureAnswer, retryAfterOf } from "../../../src/gateway/wire/remote-answer.ts"
import { composeHeaders } from "../../../src/placement/remote/headers.ts"
import { aRemoteTarget } from "../../support/build/target.ts"
import { fakeClock } from "../../support/fake-clock.ts"
import type { Door, Family } from "../family.ts"

/** Longest template, and most of them, of a target (api/kinds). */
const longestTemplate = 4_096
const mostHeaders = 32
/** Longest value of a credential (credentials/names), in characters. */
const longestValue = 64 * 1024
/** Most bytes of a failure that are read (gateway/wire/remote-answer). */
const longestFailure = 64 * 1024

const targetWith = (value: string): MCPTarget =>
  aRemoteTarget({
    spec: {
      remote: {
        url: "https://mcp.example.com/mcp",
        headers: Array.from({ length: mostHeaders }, (_, at) => ({ name: `H-${at}`, value })),
      },
    },
  })

const composing = (target: MCPTarget, values: Readonly<Record<string, string>>) => () => {
  try {
    return composeHeaders(target, values)
  } catch (error) {
    return error
  }
}

const template = (name: string, piece: string): Family => ({
  name,
  largest: longestTemplate,
  make: (size) => {
    const value = piece.repeat(Math.floor(size / piece.length))
    const composed = composing(targetWith(value), { A: "x" })
    return () => [headerTemplatePattern.test(value), composed()]
  },
})

const value = (name: string, piece: string, text = "${A}".repeat(1_000)): Family => ({
  name,
  largest: longestValue,
  make: (size) => composing(targetWith(text), { A: piece.repeat(Math.floor(size / piece.length)) }),
})

/** A body that comes in pieces of `step` bytes. */
const failure = (name: string, text: (size: number) => string, step = longestFailure): Family => ({
  name,
  largest: longestFailure,
  make: (size) => {
    const body = Buffer.from(text(size).slice(0, size))
    const request = { verb: "POST", messages: [{ kind: "request" }], session: undefined } as never
    const answer = {
      status: 500,
      headers: { "content-type": "application/json" },
      consume: (sink: { data(chunk: Buffer): boolean; end(): void }) => {
        for (let at = 0; at < body.length; at += step) sink.data(body.subarray(at, at + step))
        sink.end()
      },
      resume: () => {},
      abort: () => {},
    }
    return () => ensureAnswer(request, answer, fakeClock()).catch((error: unknown) => error)
  },
})

/** The worst cases of what a remote server's target sends, and of what the server answers. */
export const doors: readonly Door[] = [
  {
    name: "headers of a remote server's target, with their credentials",
    limit: "32 headers of 4,096 characters, values of 64 KiB; 16 KiB together",
    families: [
      template("dollar signs", "$$"),
      template("names", "${A}"),
      template("names that nobody has", "${B}"),
      template("a name that does not end", "${"),
      template("text", "a"),
      value("a value of line breaks", "\r\n"),
      value("a value again and again", "a"),
      value("a value of dollar signs", "${A}"),
    ],
  },
  {
    name: "failure of a remote server",
    limit: "64 KiB, 5 s",
    families: [
      failure("open brackets", (size) => "[".repeat(size)),
      failure("members", (size) => `{${'"a":1,'.repeat(size / 6)}`),
      failure("one text", (size) => `"${"a".repeat(size)}`),
      failure("bytes", (size) => `{"jsonrpc":"2.0","error":{"code":1,"message":"${"a".repeat(size)}`, 1),
      {
        name: "Retry-After",
        largest: 16_384,
        make: (size) => {
          const headers = ["1", " ", "Tue, ", "(", "-", "\u00a0"].map((piece) => piece.repeat(size / piece.length))
          return () => headers.map((header) => retryAfterOf(header, 0))
        },
      },
    ],
  },
]
