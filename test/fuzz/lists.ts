import fc from "fast-check"
import { expect } from "vitest"
import { hasCode } from "../../src/errors.ts"
import { filterJson } from "../../src/mcp/json-filter.ts"
import { createEventSplitter, parseEvents } from "../../src/mcp/sse.ts"
import { type BodyFilter, filterEvents } from "../../src/mcp/tool-filter.ts"
import { filler, memberLike, nearly, objectOf, spelled } from "./hostile.ts"
import { models, plainOf, type Tree, treeOf } from "./lenient.ts"
import type { FuzzProperty } from "./property.ts"

const policy = { allows: (tool: string) => tool === "shown" }
const text = (value: string) => fc.constant(JSON.stringify(value))
const member = (key: string, value: fc.Arbitrary<string>) => fc.tuple(fc.constant(`"${key}"`), value)

const names = fc.oneof(text("shown"), text("hidden"), spelled("shown"))
const plainTool = objectOf([member("name", fc.oneof(text("shown"), text("hidden")))], member("x", filler))
const tools = fc.oneof(plainTool, objectOf([member("name", names)], memberLike(["name", "x"], names)), filler)
const list = (tool: fc.Arbitrary<string>) => fc.array(tool, { maxLength: 4 }).map((each) => `[ ${each.join(" , ")}]`)
const scopes = fc.oneof(text("public"), text("private"), filler)

const plainMessages = objectOf(
  [
    member("id", fc.constant("12345678901234567890")),
    member("result", objectOf([member("tools", list(plainTool))], member("x", filler))),
  ],
  member("y", filler),
)
const results = objectOf(
  [member("tools", list(tools))],
  memberLike(["tools", "cacheScope"], fc.oneof(list(tools), scopes)),
)
const messages = fc.oneof(
  objectOf([member("id", filler), member("result", results)], memberLike(["result"], fc.oneof(results, filler))),
  plainMessages,
  filler.map((each) => `{"result":${each}}`),
)
const batches = fc.oneof(
  messages,
  fc.array(messages, { maxLength: 3 }).map((each) => `[${each.join(",")}]`),
)

/** Runs bytes through a filter in pieces of these sizes; undefined if it gives up. */
const run = (filter: BodyFilter, bytes: Buffer, sizes: readonly number[]): Buffer | undefined => {
  const out: Buffer[] = []
  let at = 0
  try {
    for (const size of [...sizes, bytes.length]) {
      out.push(Buffer.from(filter.push(bytes.subarray(at, at + size))))
      at += size
    }
    return Buffer.concat([...out, filter.end()])
  } catch (error) {
    expect(hasCode(error, "UpstreamInvalid")).toBe(true)
    return undefined
  }
}

const expectHidden = (tree: Tree): void => {
  if (tree.kind === "array") for (const element of tree.elements) expectHidden(element)
  for (const { name, find } of models) {
    const result = find(tree, "result")
    const found = find(result, "tools")
    if (found?.kind !== "array") continue
    for (const tool of found.elements) expect(plainOf(find(tool, "name")), name).toBe("shown")
    expect(plainOf(find(result, "cacheScope")), name).not.toBe("public")
  }
}

const sizes = fc.array(fc.integer({ min: 1, max: 12 }), { maxLength: 60 })
const toEvent = (body: string, end: string) => `id: 1${end}data: ${body}${end}${end}`

/** The data of each event of a whole stream, read from its lines. */
const eventsIn = (lines: readonly string[]): readonly string[] => {
  const found: string[] = []
  let data: string[] = []
  for (const line of lines.slice(0, -1)) {
    const [, field = "", value = ""] = /^([^:]*)(?::(.*))?$/s.exec(line) ?? []
    if (line === "") {
      if (data.length > 0) found.push(data.join("\n"))
      data = []
    } else if (field === "data") data.push(value.startsWith(" ") ? value.slice(1) : value)
  }
  return found
}

const bySpecification = (stream: string) => stream.split(/\r\n|\n|\r/)

/** How clients part the lines of a stream: as the specification says, at line feeds alone, as Python's splitlines does. */
const lineReaders: Readonly<Record<string, (stream: string) => readonly string[]>> = {
  specification: bySpecification,
  "line feeds": (stream) => stream.split(/\r?\n/),
  "only line feeds": (stream) => stream.split("\n"),
  splitlines: (stream) =>
    [..."\v\f\u001c\u001d\u001e\u0085\u2028\u2029"]
      .reduce((text, end) => text.replaceAll(end, "\n"), stream)
      .split(/\r\n|\n|\r/),
}

const eventPieces = fc.constantFrom(
  ..."\n \r \u2028 \u0085 \v \f \x1c \ufeff : x".split(" "),
  "\r\n",
  " ",
  "data: ",
  "data:",
  "id: 1",
  "event: ping",
  "retry: 1",
  '{"result":{"tools":[{"name":"hidden"},{"name":"shown"}]}}',
  '{"result":{"tools":[{"name":"hidden"}],"x":"\u2028data: {\u0085data: y"}}',
)

export const listProperties: readonly FuzzProperty[] = [
  {
    name: "no parser finds a hidden tool in a JSON body, however it is cut",
    property: fc.property(nearly(batches), sizes, (bytes, cuts) => {
      const out = run(filterJson(policy), bytes, cuts)
      if (out !== undefined && out.length > 0) expectHidden(treeOf(`[${out}]`))
    }),
  },
  {
    name: "no parser finds a hidden tool in an event stream, however it is cut",
    property: fc.property(nearly(batches), fc.constantFrom("\n", "\r", "\r\n"), sizes, (bytes, end, cuts) => {
      const event = Buffer.concat([Buffer.from(`id: 1${end}data: `), bytes, Buffer.from(`${end}${end}`)])
      const out = run(
        filterEvents(() => policy),
        event,
        cuts,
      )
      if (out === undefined) return
      for (const data of eventsIn(bySpecification(out.toString()))) if (data !== "") expectHidden(treeOf(data))
    }),
  },
  {
    name: "what a list still shows is the server's own text, and all other members are too",
    property: fc.property(plainMessages, sizes, (message, cuts) => {
      const out = run(filterJson(policy), Buffer.from(message), cuts)?.toString() ?? ""
      const parsed = JSON.parse(message)
      const kept = parsed.result.tools.filter((tool: { name: string }) => policy.allows(tool.name))
      expect(JSON.parse(out)).toEqual({ ...parsed, result: { ...parsed.result, tools: kept } })
      expect(out).toContain("12345678901234567890")
      if (kept.length === parsed.result.tools.length) expect(out).toBe(message)
      const event = run(
        filterEvents(() => policy),
        Buffer.from(toEvent(message.replaceAll(/[\r\n]/g, " "), "\n")),
        cuts,
      )
      expect(event?.toString()).toBe(toEvent(out.replaceAll(/[\r\n]/g, " "), "\n"))
    }),
  },
  {
    name: "every client reads the same events, none with a hidden tool, however it parts lines",
    property: fc.property(fc.array(eventPieces, { maxLength: 24 }), sizes, (pieces, cuts) => {
      const out = run(
        filterEvents(() => policy),
        Buffer.from(`${pieces.join("")}\n\n`),
        cuts,
      )
      if (out === undefined) return
      const text = out.toString()
      const expected = eventsIn(bySpecification(text))
      for (const [name, read] of Object.entries(lineReaders)) expect(eventsIn(read(text)), name).toEqual(expected)
      for (const data of expected) if (data !== "") expectHidden(treeOf(data))
    }),
  },
  {
    name: "a stream is cut into the events that the specification sees, and nothing is lost",
    property: fc.property(
      fc.array(fc.constantFrom("\n", "\r", "\r\n", "data", ":", " ", "data:x", "id: 1", "é", "event:data:", "\n\n"), {
        maxLength: 40,
      }),
      sizes,
      (pieces, cuts) => {
        const stream = Buffer.from(`${pieces.join("")}`)
        const splitter = createEventSplitter(1_000, () => new Error("too long"))
        const events: Buffer[] = []
        let at = 0
        for (const size of [...cuts, stream.length]) {
          events.push(Buffer.from(splitter.push(stream.subarray(at, at + size))))
          at += size
        }
        const whole = Buffer.concat(events)
        expect(stream.subarray(0, whole.length)).toEqual(whole)
        expect(splitter.held).toBe(stream.length - whole.length)
        const parsed = events.flatMap((event) => parseEvents(event.toString()))
        const data = parsed.map((event) => event.data).filter((each) => each !== undefined)
        expect(data).toEqual(eventsIn(bySpecification(stream.toString())))
      },
    ),
  },
]
