import { beforeEach, describe, expect, test } from "vitest"
import { AppError, type ErrorCode } from "../../src/errors.ts"
import type { Send, ServerRequest } from "../../src/mcp/client.ts"
import { newestLegacy } from "../../src/mcp/versions.ts"
import { send, token, useAdmin, world } from "../support/admin-stage.ts"

useAdmin()

const remote = { url: "https://mcp.example.com/mcp", headers: [{ name: "Authorization", value: "Bearer ${TOKEN}" }] }
const path = "/api/targets/tickets/test"

beforeEach(async () => {
  const credentials = [{ name: "TOKEN" }]
  const body = { name: "tickets", transport_type: "streamable-http", remote, credentials }
  expect((await send("POST", "/api/targets", { body })).status).toBe(201)
})

/** A server of the older era behind the gateway, that says of itself what it is. */
const speaks: Send = async ({ body = Buffer.from("{}") }: ServerRequest) => {
  const { id, method } = JSON.parse(body.toString())
  const results: Readonly<Record<string, object>> = {
    initialize: { protocolVersion: newestLegacy, serverInfo: { name: "tickets", version: "7" } },
    "tools/list": { tools: [{ name: "search" }] },
  }
  const result = results[method]
  const answer = result === undefined ? { error: { code: -32601, message: "unknown" } } : { result }
  return new Response(id === undefined ? null : JSON.stringify({ jsonrpc: "2.0", id, ...answer }), {
    status: id === undefined ? 202 : 200,
    headers: { "content-type": "application/json" },
  })
}

const failsWith =
  (code: ErrorCode, data: Readonly<Record<string, unknown>> = {}): Send =>
  () =>
    Promise.reject(new AppError(code, { detail: "It does not work.", data }))

/** Tests the target as a user; tells how often the server was given back. */
const trial = async (ask: Send) => {
  let ends = 0
  world.seatInTrial({ instance: undefined, ask, end: () => void ends++ })
  const { status, body, text } = await send("POST", path, { as: await token("alice") })
  return { status, body, text, ends }
}

describe("the test of a remote target", () => {
  test("opens the server, and tells nothing that only an instance has", async () => {
    const { status, body, ends } = await trial(speaks)
    expect(status).toBe(200)
    expect(body).toEqual({
      ok: true,
      era: "legacy",
      protocol_version: newestLegacy,
      server: { name: "tickets", version: "7" },
      tools: ["search"],
      handshake_seconds: expect.any(Number),
    })
    expect(ends).toBe(1)
  })
  test("of a server that does not speak MCP tells its status, and never its words: they may be the caller's credential", async () => {
    const echo: Send = async () => new Response("<html>you sent Bearer canary", { status: 404 })
    const { status, body, text, ends } = await trial(echo)
    expect(status).toBe(200)
    const detail = expect.stringContaining("'remote.url'")
    expect(body).toEqual({
      ok: false,
      error: { step: "handshake", code: "UpstreamInvalid", detail, status: 404, log: [] },
    })
    expect(text).not.toContain("canary")
    expect(ends).toBe(1)
  })
  test.each<ErrorCode>(["AddressNotAllowed", "UpstreamLoginRejected", "UpstreamUntrusted", "UpstreamUnreachable"])(
    "tells of %s as a result",
    async (code) => {
      const { status, body } = await trial(failsWith(code, { instance: "remote-x", log: ["canary"], said: "canary" }))
      expect(status).toBe(200)
      expect(body).toEqual({ ok: false, error: { step: "handshake", code, detail: "It does not work.", log: [] } })
    },
  )
  test.each<ErrorCode>(["AddressNotAllowed", "UpstreamLoginRejected", "UpstreamUntrusted", "CredentialMissing"])(
    "tells of %s as a result also if there was no server to ask yet",
    async (code) => {
      const data = { instance: "remote-x", log: ["canary"], said: "canary", reason: "private" }
      world.findInTrial(new AppError(code, { detail: "It does not work.", data }))
      const { status, body } = await send("POST", path)
      expect(status).toBe(200)
      const error = { step: "start", code, detail: "It does not work.", reason: "private", log: [] }
      expect(body).toEqual({ ok: false, error })
    },
  )
  test("that could not be made is an error of the call", async () => {
    world.findInTrial(new AppError("ClusterUnavailable", { detail: "The cluster is away." }))
    expect(await send("POST", path)).toMatchObject({ status: 503, body: { code: "ClusterUnavailable" } })
  })
})
