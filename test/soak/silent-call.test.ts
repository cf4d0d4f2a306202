/** Calls and streams that are silent for minutes, through a gateway on real time: no limit of any layer ends them. */
import { request as httpRequest, type IncomingMessage } from "node:http"
import { text } from "node:stream/consumers"
import { setTimeout as sleep } from "node:timers/promises"
import { expect, test } from "vitest"
import { type HttpListener, startHttpListener } from "../../src/roles/listen/http-listener.ts"
import { answerJson, lifeAt, localOrigin, message, startServer, startStage } from "../integration/gateway-stage.ts"
import { plan } from "./plan.ts"

const events = { "content-type": "text/event-stream" }
const silenceMs = plan.silence * 1_000

/** Asks by a client that has no limits of its own: fetch gives up on a head after five minutes. */
const ask = (listener: HttpListener, verb: "GET" | "POST", name: string): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => {
    const headers = {
      authorization: "Bearer token-of-alice",
      accept: "application/json, text/event-stream",
      ...(verb === "POST" ? { "content-type": "application/json" } : {}),
    }
    const request = httpRequest(`${listener.url}/mcp/demo`, { method: verb, headers, agent: false }, resolve)
    request.on("error", reject)
    request.end(verb === "POST" ? JSON.stringify(message("tools/call", { name }, name)) : undefined)
  })

test(
  `calls and streams without a byte for ${plan.silence} s get their answers`,
  async () => {
    const stage = await startStage({ requestTimeoutMs: 900_000 })
    const server = await startServer(async (seen, response) => {
      const name = seen.method === "GET" ? "stream" : JSON.parse(seen.body).params.name
      if (name !== "no head") response.writeHead(200, name === "json" ? { "content-type": "application/json" } : events)
      if (name === "json") response.write(" ")
      else if (name !== "no head") response.flushHeaders()
      await sleep(silenceMs)
      const answer = JSON.stringify({ jsonrpc: "2.0", id: name, result: { done: true } })
      if (name === "no head") answerJson(response, seen, { done: true })
      else response.end(name === "json" ? answer : `data: ${answer}\n\n`)
    })
    stage.placement.now = lifeAt(server.url)
    const listener = await startHttpListener("127.0.0.1:0", (request, response) =>
      stage.gateway.handle(request, response, localOrigin),
    )
    const answers = await Promise.all(
      (["no head", "json", "events", "stream"] as const).map(async (name) => {
        const response = await ask(listener, name === "stream" ? "GET" : "POST", name)
        return { name, status: response.statusCode, body: await text(response) }
      }),
    )
    for (const { name, status, body } of answers) {
      expect(status, name).toBe(200)
      expect(JSON.parse(body.replaceAll(":\n\n", "").replace("data: ", "")), name).toMatchObject({
        result: { done: true },
      })
    }
    await listener.close()
    await stage.close()
    await server.close()
  },
  silenceMs + 60_000,
)
