/** What an open stream still may when its caller's token, the access to its target or the tool policy changes. */
import type { ServerResponse } from "node:http"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { type FakeClock, fakeClock } from "../support/fake-clock.ts"
import {
  type Call,
  type FakeServer,
  gate,
  lifeAt,
  message,
  modernRequest,
  post,
  type Stage,
  startServer,
  startStage,
} from "./gateway-stage.ts"

const hour = 3_600_000
const toolCall = message("tools/call", { name: "slow", arguments: {} })

let clock: FakeClock
let stage: Stage
let server: FakeServer
/** Resolves with the server's answer to the request, whose head and first event are out. */
let answering: ReturnType<typeof gate<ServerResponse>>

let firstEvent: string

beforeEach(async () => {
  firstEvent = "data: {}\n\n"
  clock = fakeClock()
  stage = await startStage({ clock })
  answering = gate()
  server = await startServer((_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" }).write(firstEvent)
    answering.resolve(response)
  })
  stage.placement.now = lifeAt(server.url)
})
afterEach(async () => {
  await stage.close()
  await server.close()
})

/**
 * Opens a stream as alice, whose token expires in an hour, and reads its first event; gives the server's answer, and the
 * text to its end.
 */
const open = async (body: unknown, call: Call = {}) => {
  const response = await post(stage, body, { subject: `alice-until-${clock.now() + hour}`, ...call })
  expect(response.status).toBe(200)
  const reader = (response.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream()).getReader()
  let text = (await reader.read()).value ?? ""
  const rest = async (): Promise<string> => {
    for (let next = await reader.read(); !next.done; next = await reader.read()) text += next.value
    return text
  }
  return { upstream: await answering.promise, text: rest() }
}

const listen = modernRequest("subscriptions/listen")
const errorIn = (text: string) => JSON.parse(text.split("data: ").at(-1) ?? "").error

describe("when the caller's token expires", () => {
  test("a GET stream ends, in order", async () => {
    const { text } = await open(toolCall, { verb: "GET" })
    await clock.advance(hour)
    expect(await text).toMatch(/^data: \{\}\n\n(:\n\n)*$/)
  })

  test("a subscription ends with its result", async () => {
    const { text } = await open(listen.body, { headers: listen.headers })
    await clock.advance(hour)
    expect(await text).toContain('"resultType":"complete"')
  })

  test("a call that began in time runs to its end", async () => {
    const { upstream, text } = await open(toolCall)
    await clock.advance(3 * hour)
    upstream.end('data: {"jsonrpc":"2.0","id":1,"result":{}}\n\n')
    expect(await text).toContain('"result":{}')
  })

  test("a stream that still waits for its server's head is refused with 401", async () => {
    await server.close()
    const asked = gate()
    server = await startServer(() => asked.resolve())
    stage.placement.now = lifeAt(server.url)
    const answer = post(stage, toolCall, { verb: "GET", subject: `alice-until-${clock.now() + 1_000}` })
    await asked.promise
    await clock.advance(1_000)
    const response = await answer
    expect(response.status).toBe(401)
    expect(response.headers.get("www-authenticate")).toContain("invalid_token")
  })
})

describe("when access is taken away", () => {
  const withdraw = () => stage.addTarget("demo", { access: { users: ["bob"] } })

  test("a GET stream ends, in order", async () => {
    const { text } = await open(toolCall, { verb: "GET" })
    withdraw()
    expect(await text).toBe("data: {}\n\n")
  })

  test("a call ends with an error that has its id", async () => {
    const { text } = await open(toolCall)
    withdraw()
    expect(errorIn(await text)).toMatchObject({ data: { code: "TargetNotFound" } })
    expect(await text).toContain('"id":1')
  })

  test("a call ends with an error also if its events could be resumed", async () => {
    firstEvent = "id: 5\ndata: {}\n\n"
    const { text } = await open(toolCall)
    withdraw()
    expect(errorIn(await text)).toMatchObject({ data: { code: "TargetNotFound" } })
  })

  test("a scope that the target asks for from now on ends what was opened without it", async () => {
    const { text } = await open(toolCall)
    stage.addTarget("demo", { requiredScopes: ["tools"] })
    expect(errorIn(await text)).toMatchObject({ data: { code: "Forbidden" } })
  })

  test("a target that is deleted ends its streams", async () => {
    const { text } = await open(toolCall, { verb: "GET" })
    stage.removeTarget("demo")
    expect(await text).toBe("data: {}\n\n")
  })

  test("others' streams, and those of other targets, go on", async () => {
    const { upstream, text } = await open(toolCall, { subject: "bob" })
    stage.addTarget("other", { access: { users: ["carol"] } })
    withdraw()
    const answer = 'data: {"jsonrpc":"2.0","id":1,"result":{}}\n\n'
    upstream.end(answer)
    expect(await text).toBe(`data: {}\n\n${answer}`)
  })
})

describe("when the tool policy changes", () => {
  const list = 'data: {"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"shown"},{"name":"hidden"}]}}\n\n'
  const cut = list.replace(',{"name":"hidden"}', "")
  const all = "data: {}\n\n"

  test.each(["GET", "POST"] as const)("it holds from the next event on (%s)", async (verb) => {
    const { upstream, text } = await open(toolCall, { verb })
    stage.addTarget("demo", { tools: { deny: ["hidden"] } })
    upstream.write(list)
    upstream.end(list)
    expect(await text).toBe(all + cut + cut)
  })

  test("a stricter one holds for events that come later", async () => {
    stage.addTarget("demo", { tools: { deny: ["other"] } })
    const { upstream, text } = await open(toolCall)
    stage.addTarget("demo", { tools: { deny: ["hidden"] } })
    upstream.end(list)
    expect(await text).toBe(all + cut)
  })

  test("it holds for the answer of a call that was let in before", async () => {
    await server.close()
    server = await startServer((_, response) => answering.resolve(response))
    stage.placement.now = lifeAt(server.url)
    const asked = post(stage, toolCall)
    const upstream = await answering.promise
    stage.addTarget("demo", { tools: { deny: ["hidden"] } })
    upstream.writeHead(200, { "content-type": "application/json" }).end(list.slice("data: ".length))
    expect(await (await asked).text()).toBe(cut.slice("data: ".length))
  })
})
