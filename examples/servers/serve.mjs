/**
 * Serves an MCP server over Streamable HTTP at /mcp, to clients of both protocol eras: those that open with
 * `initialize` (revisions up to 2025-11-25) and those whose requests stand alone (2026-07-28).
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

/** The path that MCP clients of a server use, unless the target's `path` says otherwise. */
const path = "/mcp"

/** On Kubernetes the gateway comes from another machine; elsewhere nobody but this machine may connect. */
const onKubernetes = process.env.KUBERNETES_SERVICE_HOST !== undefined

/** Answers requests of the older era, each client in a session of its own. */
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

/** A request of node:http as the web platform has it; aborted when the client goes away. */
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
 * Starts to serve. `makeServer` makes one McpServer for each session, or for each request that stands alone.
 * With `sessions: false` clients of the older era get no session either: right for servers that keep nothing.
 * `resume` makes the `eventStore` of one session, from which a client gets what it missed when a stream broke off.
 * Returns the notifier of the newer era (`resourceUpdated` and others).
 */
export const serveMcp = (makeServer, { sessions = true, resume = () => ({}) } = {}) => {
  const modern = createMcpHandler(makeServer, { legacy: sessions ? "reject" : "stateless" })
  const legacy = sessionHandler(makeServer, resume)
  const answer = async (request) => {
    // a web page whose name was pointed at this machine sends its own name as Host
    const refused = onKubernetes ? undefined : hostHeaderValidationResponse(request, localhostAllowedHostnames())
    if (refused !== undefined) return refused
    if (new URL(request.url).pathname !== path) return new Response("MCP is at /mcp.\n", { status: 404 })
    return sessions && (await isLegacyRequest(request)) ? legacy(request) : modern.fetch(request)
  }
  const http = createServer((incoming, outgoing) => {
    answer(toRequest(incoming, outgoing))
      .then((response) => send(response, outgoing))
      .catch((error) => {
        // a client that goes away is no error
        if (!outgoing.destroyed) console.error(error)
        outgoing.destroy()
      })
  })
  // a call may take as long as it likes
  http.requestTimeout = 0
  const port = Number(process.env.PORT ?? 8080)
  http.listen(port, onKubernetes ? undefined : "127.0.0.1", () =>
    console.log(`MCP server on port ${http.address().port}`),
  )
  // as the first process of a container, Node would ignore SIGTERM
  process.once("SIGTERM", () => process.exit())
  return modern.notify
}
