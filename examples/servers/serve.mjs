// Serves an MCP server over Streamable HTTP on node:http, in both protocol eras: sessions for clients up to revision
// 2025-11-25, stateless requests for 2026-07-28. `make` builds a fresh McpServer; PORT says where to listen.
import { randomUUID } from "node:crypto"
import { createServer } from "node:http"
import { Readable } from "node:stream"
import {
  createMcpHandler,
  isLegacyRequest,
  WebStandardStreamableHTTPServerTransport,
} from "@modelcontextprotocol/server"

const toRequest = (message, response) => {
  const gone = new AbortController()
  response.on("close", () => gone.abort())
  const body = message.method === "POST" ? Readable.toWeb(message) : undefined
  const url = `http://${message.headers.host ?? "localhost"}${message.url}`
  const headers = Object.entries(message.headers).map(([name, value]) => [name, String(value)])
  return new Request(url, { method: message.method, headers, body, duplex: "half", signal: gone.signal })
}

const send = async (response, answer) => {
  response.writeHead(answer.status, Object.fromEntries(answer.headers))
  response.flushHeaders()
  if (answer.body === null) return response.end()
  const reader = answer.body.getReader()
  response.on("close", () => reader.cancel().catch(() => {}))
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return response.end()
    response.write(value)
  }
}

/** Starts to listen; resolves with what tests and examples use to tell changes. */
export const serve = (make, { sessions = true } = {}) => {
  const modern = createMcpHandler(make, { legacy: sessions ? "reject" : "stateless" })
  const open = new Map()

  const legacy = async (request) => {
    const known = open.get(request.headers.get("mcp-session-id"))
    if (known !== undefined) return known.handleRequest(request)
    if (request.headers.has("mcp-session-id")) {
      return Response.json(
        { jsonrpc: "2.0", id: null, error: { code: -32001, message: "Session not found" } },
        { status: 404 },
      )
    }
    const transport = new WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: () => randomUUID(),
      onsessioninitialized: (id) => void open.set(id, transport),
      onsessionclosed: (id) => void open.delete(id),
    })
    await make({ era: "legacy" }).connect(transport)
    return transport.handleRequest(request)
  }

  const server = createServer(async (message, response) => {
    try {
      if (new URL(message.url ?? "/", "http://localhost").pathname !== "/mcp") return response.writeHead(404).end()
      const request = toRequest(message, response)
      await send(
        response,
        sessions && (await isLegacyRequest(request)) ? await legacy(request) : await modern.fetch(request),
      )
    } catch (error) {
      console.error("request failed:", error)
      if (!response.headersSent) response.writeHead(500)
      response.end()
    }
  })
  const port = Number(process.env.PORT ?? 8080)
  server.listen(port, () => console.log(`listening on ${port}`))
  return { notify: modern.notify }
}
