import { subscribe, unsubscribe } from "node:diagnostics_channel"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { expect, test } from "vitest"
import { createUpstream } from "../../../src/gateway/upstream.ts"
import { fakeClock } from "../../support/fake-clock.ts"

type Timeouts = { readonly headersTimeout: unknown; readonly bodyTimeout: unknown }

test("a server has as long for the head of its answer as the request says, and forever for the rest", async () => {
  const server = createServer((request, response) => void request.resume().on("end", () => response.end("{}")))
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const seen: Timeouts[] = []
  // what the client works with: a value of the request is stronger than its own default, which is 300 s
  const onCreate = (message: unknown): void => {
    const { request } = message as { request: Timeouts & { readonly origin: unknown } }
    if (String(request.origin) !== origin) return
    seen.push({ headersTimeout: request.headersTimeout, bodyTimeout: request.bodyTimeout })
  }
  subscribe("undici:request:create", onCreate)
  const upstream = createUpstream(fakeClock())
  const placement = { instance: "i", instanceUID: "u", incarnation: "p.0", url: new URL("/mcp", origin) }
  for (const [lane, headersTimeoutMs] of [
    ["call", 900_000],
    ["call", 10_000],
    ["stream", 3_600_000],
  ] as const) {
    const { signal } = new AbortController()
    const body = Buffer.from("{}")
    const answer = await upstream.send({ placement, verb: "POST", headers: [], body, headersTimeoutMs, lane, signal })
    answer.abort()
  }
  unsubscribe("undici:request:create", onCreate)
  await upstream.close()
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  expect(seen).toEqual([
    { headersTimeout: 900_000, bodyTimeout: 0 },
    { headersTimeout: 10_000, bodyTimeout: 0 },
    { headersTimeout: 3_600_000, bodyTimeout: 0 },
  ])
})
