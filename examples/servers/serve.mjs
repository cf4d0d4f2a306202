/**
 * Serves an MCP server over Streamable HTTP at /mcp, for clients of both protocol eras: clients that open a session with
 * `initialize` (revisions up to 2025-11-25), and clients with self-contained requests (2026-07-28).
 *
 * The port is in the environment variable PORT: Reflow Gateway sets it, on Kubernetes as well as on a laptop.
 */
import { randomUUID } from "node:crypto"
import { createServer } from "node:http"
import { Readable } from "node:stream"
import { pipeline } from "node:stream/promises"
import {
  createMcpHandler,
  hostHeaderValidationResponse,
  isLegacyRequest,
  localhostAllowedHostnames,
  WebStandardStreamableHTTPServerTransport,
} from "@modelcontextprotocol/server"

/** Path of the MCP endpoint: the default of a target's `path`. */
const path = "/mcp"

/** On Kubernetes the gateway connects from another Pod; elsewhere only this machine may connect. */
const onKubernetes = process.env.KUBERNETES_SERVICE_HOST !== undefined

/** Creates a handler for the older era, with a session for each client. */
const sessionHandler = (makeServer, resume) => {
  const sessions = new Map()
  const open = async () => {
    const transport = new WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (id) => void sessions.set(id, transport),
      onsessionclosed: (id) => void sessions.delete(id),
      ...resume(),
    })
    const server = await makeServer({ era: "legacy" })
    await server.connect(transport)
    return transport
  }
  return async (request) => {
    const id = request.headers.get("mcp-session-id")
    if (id === null) return (await open()).handleRequest(request)
    const known = sessions.get(id)
    if (known !== undefined) return known.handleRequest(request)
    const error = { code: -32001, message: "Session not found" }
    return Response.json({ jsonrpc: "2.0", id: null, error }, { status: 404 })
  }
}

/** Converts a request of node:http to a web `Request`, whose signal is aborted when the client disconnects. */
const toRequest = (incoming, outgoing) => {
  const gone = new AbortController()
  outgoing.once("close", () => gone.abort())
  const { method = "GET", url = "/" } = incoming
  const headers = Object.entries(incoming.headersDistinct).flatMap(([name, values]) =>
    values.map((value) => [name, value]),
  )
  const body = method === "GET" || method === "HEAD" ? {} : { body: Readable.toWeb(incoming), duplex: "half" }
  return new Request(new URL(url, "http://localhost"), { method, headers, signal: gone.signal, ...body })
}

const send = async (response, outgoing) => {
  outgoing.writeHead(response.status, Object.fromEntries(response.headers))
  outgoing.flushHeaders()
  if (response.body === null) outgoing.end()
  else await pipeline(Readable.fromWeb(response.body), outgoing)
}

/**
 * Starts the server. `makeServer` creates an McpServer for each session, or for each request of the newer era. With
 * `sessions: false`, clients of the older era get no session, for servers that keep no state. `resume` returns options
 * with the `eventStore` of a session, from which a client can get events that it missed when a stream broke.
 * Returns the notifier of the newer era (`resourceUpdated` and others).
 */
export const serveMcp = (makeServer, { sessions = true, resume = () => ({}) } = {}) => {
  const modern = createMcpHandler(makeServer, { legacy: sessions ? "reject" : "stateless" })
  const legacy = sessionHandler(makeServer, resume)
  const answer = async (request) => {
    // DNS rebinding: a web page whose host name resolves to this machine sends that name as Host
    const refused = onKubernetes ? undefined : hostHeaderValidationResponse(request, localhostAllowedHostnames())
    if (refused !== undefined) return refused
    if (new URL(request.url).pathname !== path) return new Response("MCP is at /mcp.\n", { status: 404 })
    return sessions && (await isLegacyRequest(request)) ? legacy(request) : modern.fetch(request)
  }
  const http = createServer((incoming, outgoing) => {
    answer(toRequest(incoming, outgoing))
      .then((response) => send(response, outgoing))
      .catch((error) => {
        // a client that disconnects is not an error
        if (!outgoing.destroyed) console.error(error)
        outgoing.destroy()
      })
  })
  // no time limit for a request
  http.requestTimeout = 0
  const port = Number(process.env.PORT ?? 8080)
  http.listen(port, onKubernetes ? undefined : "127.0.0.1", () =>
    console.log(`MCP server on port ${http.address().port}`),
  )
  // as process 1 of a container, Node ignores SIGTERM without a handler
  process.once("SIGTERM", () => process.exit())
  return modern.notify
}
