import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { ensureAnswer, retryAfterOf } from "../../../../src/gateway/wire/remote-answer.ts"
import type { BodySink, UpstreamAnswer } from "../../../../src/gateway/wire/upstream-answer.ts"
import { fakeClock } from "../../../support/fake-clock.ts"

const now = Date.parse("2030-01-01T00:00:00Z")
const json = { "content-type": "application/json; charset=utf-8" }
const html = { "content-type": "text/html" }
const rpcError = '{"jsonrpc":"2.0","id":7,"error":{"code":-32602,"message":"no such tool"}}'

type Answer = UpstreamAnswer & { readonly ended: () => boolean }

/** An answer whose body comes in these pieces; undefined = it never ends. */
const answering = (status: number, headers: UpstreamAnswer["headers"], body: string[] | undefined): Answer => {
  let ended = false
  return {
    status,
    headers,
    ended: () => ended,
    consume: (sink) => {
      for (const piece of body ?? []) sink.data(Buffer.from(piece))
      if (body !== undefined) sink.end()
    },
    resume: () => {},
    abort: () => {
      ended = true
    },
  }
}

const asked = (verb: string, { kind = "request", session = false } = {}) =>
  ({ verb, messages: verb === "POST" ? [{ kind }] : [], session: session ? {} : undefined }) as never

const textOf = (answer: UpstreamAnswer): Promise<string> =>
  new Promise((resolve, reject) => {
    const pieces: Buffer[] = []
    const sink: BodySink = {
      data: (chunk) => pieces.push(chunk) > 0,
      end: () => resolve(Buffer.concat(pieces).toString()),
      fail: reject,
    }
    answer.consume(sink)
  })

const judged = async (request: never, answer: Answer): Promise<UpstreamAnswer | { readonly code: string }> => {
  const clock = fakeClock(now)
  const outcome = ensureAnswer(request, answer, clock).catch((error) => {
    expect(answer.ended(), "its connection is freed").toBe(true)
    return error
  })
  await clock.advance(5_000)
  return await outcome
}

describe("an answer of a remote server", () => {
  test.each<[string, never, Answer]>([
    ["a JSON result", asked("POST"), answering(200, json, ["{}"])],
    ["an event stream", asked("POST"), answering(200, { "content-type": "Text/Event-Stream" }, [""])],
    ["202 to a notification", asked("POST", { kind: "notification" }), answering(202, {}, [""])],
    ["200 with a text to a notification", asked("POST", { kind: "notification" }), answering(200, html, ["ok"])],
    ["a stream", asked("GET"), answering(200, { "content-type": "text/event-stream" }, [""])],
    ["405 to GET", asked("GET"), answering(405, {}, [""])],
    ["405 to DELETE", asked("DELETE"), answering(405, html, [""])],
    ["200 to DELETE", asked("DELETE"), answering(200, html, [""])],
  ])("passes as it is: %s", async (_, request, answer) => {
    expect(await judged(request, answer)).toBe(answer)
    expect(answer.ended()).toBe(false)
  })

  test.each([
    [400, 400],
    [404, 404],
    [500, 500],
    [503, 200],
    [407, 200],
  ])("passes if it is a JSON-RPC error: %i as %i", async (status, kept) => {
    const outcome = await judged(asked("POST"), answering(status, json, [rpcError.slice(0, 9), rpcError.slice(9)]))
    expect(outcome).toMatchObject({ status: kept })
    expect(await textOf(outcome as UpstreamAnswer)).toBe(rpcError)
  })

  test.each<[string, never, Answer, string]>([
    ["a page instead of a result", asked("POST"), answering(200, html, ["<html>"]), "UpstreamInvalid"],
    ["no type instead of a result", asked("POST"), answering(200, {}, [""]), "UpstreamInvalid"],
    ["a page instead of a stream", asked("GET"), answering(200, html, ["<html>"]), "UpstreamInvalid"],
    ["202 to a request", asked("POST"), answering(202, {}, [""]), "UpstreamInvalid"],
    ["204 to a request", asked("POST"), answering(204, {}, [""]), "UpstreamInvalid"],
    ["201 to a request", asked("POST"), answering(201, json, ["{}"]), "UpstreamInvalid"],
    ["a redirect without a place", asked("POST"), answering(302, {}, [""]), "UpstreamInvalid"],
    ["304 to GET", asked("GET"), answering(304, {}, [""]), "UpstreamInvalid"],
    ["300 to DELETE", asked("DELETE"), answering(300, {}, [""]), "UpstreamInvalid"],
    ["305 to a notification", asked("POST", { kind: "notification" }), answering(305, {}, [""]), "UpstreamInvalid"],
    ["204 to GET", asked("GET"), answering(204, {}, [""]), "UpstreamInvalid"],
    ["500", asked("POST"), answering(500, html, ["<html>"]), "UpstreamInvalid"],
    ["405 to POST", asked("POST"), answering(405, html, [""]), "UpstreamInvalid"],
    ["JSON that is no JSON-RPC", asked("POST"), answering(500, json, ['{"error":"x"}']), "UpstreamInvalid"],
    ["a JSON-RPC result", asked("POST"), answering(500, json, ['{"jsonrpc":"2.0","result":{}}']), "UpstreamInvalid"],
    ["JSON that ends too early", asked("POST"), answering(500, json, ['{"jsonrpc"']), "UpstreamInvalid"],
    ["a body that is too long", asked("POST"), answering(500, json, [rpcError, " ".repeat(65_536)]), "UpstreamInvalid"],
    ["a body that does not end", asked("POST"), answering(500, json, undefined), "UpstreamInvalid"],
    ["a page as JSON-RPC", asked("POST"), answering(500, html, [rpcError]), "UpstreamInvalid"],
    ["404 to a session", asked("POST", { session: true }), answering(404, html, [""]), "SessionNotFound"],
    ["404 to a session's stream", asked("GET", { session: true }), answering(404, html, [""]), "SessionNotFound"],
    [
      "404 JSON-RPC to a session",
      asked("POST", { session: true }),
      answering(404, json, [rpcError]),
      "SessionNotFound",
    ],
    ["429", asked("POST"), answering(429, json, [rpcError]), "UpstreamBusy"],
    ["429 to GET", asked("GET"), answering(429, {}, [""]), "UpstreamBusy"],
    ["503 with Retry-After", asked("POST"), answering(503, { "retry-after": "7" }, [""]), "UpstreamBusy"],
    ["503 without", asked("POST"), answering(503, html, [""]), "UpstreamInvalid"],
  ])("is an error: %s", async (_, request, answer, code) => {
    expect(await judged(request, answer)).toMatchObject({ code })
  })

  test.each([400, 404, 405, 406, 415])(
    "that refuses server/discover with %i in words of its own is one of the older era",
    async (status) => {
      const messages = [{ kind: "request", method: "server/discover" }]
      const request = { verb: "POST", messages, session: undefined, reading: { idText: "7" } } as never
      const answer = answering(status, html, ["<html>"])
      const outcome = (await judged(request, answer)) as UpstreamAnswer
      expect(outcome).toMatchObject({ status: 400, headers: { "content-type": "application/json" } })
      expect(JSON.parse(await textOf(outcome))).toMatchObject({ jsonrpc: "2.0", id: 7, error: { code: -32_601 } })
      expect(answer.ended()).toBe(true)
    },
  )

  test("that fails at server/discover is not taken for one of the older era", async () => {
    const messages = [{ kind: "request", method: "server/discover" }]
    const request = { verb: "POST", messages, session: undefined, reading: { idText: "7" } } as never
    expect(await judged(request, answering(500, html, [""]))).toMatchObject({ code: "UpstreamInvalid" })
    expect(await judged(request, answering(429, html, [""]))).toMatchObject({ code: "UpstreamBusy" })
  })

  test("that asks for time says how much", async () => {
    expect(await judged(asked("POST"), answering(429, { "retry-after": "7" }, [""]))).toMatchObject({
      retryAfterSeconds: 7,
      message: "The remote server answered 429: it asks to try again in 7 s.",
    })
  })

  test("passes with no header that the server can write its own text into", async () => {
    const answer = answering(405, { allow: "geheim", "retry-after": "geheim", "content-type": "text/geheim" }, [""])
    expect((await judged(asked("GET"), answer)) as UpstreamAnswer).toMatchObject({
      headers: { "retry-after": "10", "content-type": "application/octet-stream" },
    })
    expect(JSON.stringify(answer.headers)).not.toContain("geheim")
    const typed = answering(200, { "content-type": "application/json; x=geheim", allow: "GET, POST" }, ["{}"])
    expect((await judged(asked("POST"), typed)) as UpstreamAnswer).toMatchObject({
      headers: { allow: "GET, POST", "content-type": "application/json" },
    })
    const gzip = answering(200, { ...json, "content-encoding": "gzip" }, ["{}"])
    expect((await judged(asked("POST"), gzip)) as UpstreamAnswer).toMatchObject({
      headers: { "content-encoding": "gzip", "content-type": "application/json; charset=utf-8" },
    })
  })

  test("is never repeated in an error: neither its type nor its body", async () => {
    const answer = answering(500, { "content-type": "Bearer/geheim" }, ["geheim"])
    const error = (await judged(asked("POST"), answer)) as unknown as Error & { readonly data: unknown }
    expect(`${error.message} ${JSON.stringify(error.data)}`).not.toContain("geheim")
    expect(error.message).toContain("500 with another type")
  })
})

describe("Retry-After", () => {
  test.each<[string | undefined, number]>([
    ["120", 120],
    [" 5 ", 5],
    ["0", 1],
    ["999999999", 3_600],
    ["9999999999999999999", 10],
    ["Tue, 01 Jan 2030 00:00:30 GMT", 30],
    ["Mon, 31 Dec 2029 00:00:00 GMT", 1],
    ["Tue, 01 Jan 2031 00:00:00 GMT", 3_600],
    ["soon", 10],
    ["", 10],
    [undefined, 10],
  ])("%o is %i seconds", (header, seconds) => {
    expect(retryAfterOf(header, now)).toBe(seconds)
  })

  test("is between a second and an hour, whatever a server sends", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (header) => {
        const seconds = retryAfterOf(header, now)
        return Number.isInteger(seconds) && seconds >= 1 && seconds <= 3_600
      }),
    )
  })
})
