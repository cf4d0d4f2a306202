import { afterEach, beforeEach, expect, test } from "vitest"
import type { SubjectKey } from "../../src/identity/subject-key.ts"
import { aTarget } from "../support/build/target.ts"
import {
  answerJson,
  type FakeServer,
  identityOf,
  lifeAt,
  message,
  type Stage,
  startServer,
  startStage,
} from "./gateway-stage.ts"

let stage: Stage
let server: FakeServer | undefined

beforeEach(async () => {
  stage = await startStage()
})
afterEach(async () => {
  await stage.close()
  await server?.close()
})

const serve = async (handler: Parameters<typeof startServer>[0]): Promise<void> => {
  server = await startServer(handler)
}
/** Asks the server as the test of a target does. */
const ask = (spec: Parameters<typeof aTarget>[0], body: object, headers: Record<string, string> = {}) =>
  stage.gateway.ask(
    {
      target: aTarget(spec),
      identity: identityOf("alice"),
      subjectKey: "user:alice" as SubjectKey,
      placement: lifeAt(server?.url ?? new URL("http://127.0.0.1:1/mcp")),
    },
    {
      verb: "POST",
      headers: { "content-type": "application/json", accept: "application/json", ...headers },
      body: Buffer.from(JSON.stringify(body)),
      signal: AbortSignal.timeout(10_000),
    },
  )
const tools = { tools: [{ name: "shown" }, { name: "hidden" }] }

test("a server that is tried gets what a client's request would bring: Host, identity, Accept, the way that redirects", async () => {
  await serve((one, response) =>
    one.url === "/mcp/"
      ? answerJson(response, one, {}, { "mcp-session-id": "own", "set-cookie": "a=b" })
      : response.writeHead(307, { location: "/mcp/" }).end(),
  )
  const spec = { hostHeader: "localhost:8080", identityHeaders: true }
  const response = await ask({ spec }, message("ping"), { "mcp-session-id": "own" })
  expect([response.status, response.headers.get("mcp-session-id"), response.headers.get("set-cookie")]).toEqual([
    200,
    "own",
    null,
  ])
  expect(server?.seen.at(-1)?.headers).toMatchObject({
    host: "localhost:8080",
    accept: "application/json, text/event-stream",
    "mcp-session-id": "own",
    "x-reflow-subject": "alice",
    "x-forwarded-host": `localhost:${stage.port}`,
  })
})

test("a server that is tried shows the tools that its callers see, and what is unreadable is told as to them", async () => {
  await serve((one, response) => answerJson(response, one, tools))
  const spec = { tools: { deny: ["hidden"] } }
  stage.addTarget("files", spec)
  expect(await (await ask({ spec }, message("tools/list"))).json()).toMatchObject({
    result: { tools: [{ name: "shown" }] },
  })
  await server?.close()
  await serve((_, response) => response.writeHead(200, { "content-type": "application/json" }).end("{"))
  await expect(ask({ spec }, message("tools/list")).then((response) => response.text())).rejects.toMatchObject({
    code: "UpstreamInvalid",
  })
})

test.each([421, 500, 400])("the status %i and its words are told as they are", async (status) => {
  await serve((_, response) => response.writeHead(status, { "content-type": "text/plain" }).end("Invalid Host header"))
  const response = await ask({}, message("initialize"))
  expect([response.status, await response.text()]).toEqual([status, "Invalid Host header"])
})

test.each([204, 304])("a status %i that has no body has none", async (status) => {
  await serve((_, response) => response.writeHead(status).end())
  const response = await ask({}, message("ping"))
  expect([response.status, response.body]).toEqual([status, null])
})

test("a status that is none is an error, and a server that is not there is told as that", async () => {
  await serve((_, response) => response.writeHead(999).end())
  await expect(ask({}, message("ping"))).rejects.toMatchObject({ code: "UpstreamInvalid" })
  server = undefined
  stage.placement.now = lifeAt(new URL("http://127.0.0.1:1/mcp"))
  await expect(ask({}, message("ping"))).rejects.toMatchObject({ code: "UpstreamUnreachable" })
})

/** A server whose answers never end, and how many have been ended from here. */
const endless = async (head: Record<string, string>) => {
  const ended = { count: 0 }
  await serve((_, response) => {
    response.on("close", () => ended.count++)
    response.writeHead(200, head).write(": one\n\n")
  })
  return ended
}

test("a body that nobody reads any more ends the exchange", async () => {
  const ended = await endless({ "content-type": "text/event-stream" })
  const response = await ask({}, message("ping"))
  await response.body?.cancel()
  await expect.poll(() => ended.count).toBe(1)
})

test("a body that cannot be read ends the exchange too", async () => {
  const spec = { tools: { deny: ["hidden"] } }
  stage.addTarget("files", spec)
  const ended = await endless({ "content-type": "text/event-stream", "content-encoding": "gzip" })
  await expect(ask({ spec }, message("tools/list"))).rejects.toMatchObject({ code: "UpstreamInvalid" })
  await expect.poll(() => ended.count).toBe(1)
})
