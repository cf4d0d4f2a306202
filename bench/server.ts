/**
 * The MCP server of all measurements, so cheap that it is never the bottleneck:
 *
 *   node bench/server.ts [--port 8080]     streamable HTTP at /mcp; without --port, the variable PORT counts
 *   node bench/server.ts --stdio           newline-delimited JSON-RPC on stdin and stdout
 *
 * It listens on 127.0.0.1 and knows sessions (revision 2025-11-25 and older) and requests without (2026-07-28). Its
 * tools are `echo`, which returns its argument `message`, and `big`, which returns 1 MB of text; mcp-answers.ts has the
 * rest. GET /mcp is an event stream that stays open and silent. A session id that it did not issue is refused with 404,
 * so that a request which reaches the wrong server fails.
 */
import { randomUUID } from "node:crypto"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { createInterface } from "node:readline"
import { parseArgs } from "node:util"
import { answerTo, opensSession, type Pieces, readMessage } from "./mcp-answers.ts"

/** Ids of the open sessions. */
const sessions = new Set<string>()

const lengthOf = (pieces: Pieces): number => pieces.reduce((sum, piece) => sum + Buffer.byteLength(piece), 0)

/** Sends a status without a body. */
const sendStatus = (response: ServerResponse, status: number): void => {
  response.writeHead(status, status === 204 ? {} : { "content-length": 0 }).end()
}

/** Answers a POST, whose session is known or absent. */
const answerPost = (response: ServerResponse, body: Buffer, session: string | undefined): void => {
  const message = readMessage(body.toString())
  const pieces = answerTo(message)
  if (pieces === undefined) {
    sendStatus(response, 202)
    return
  }
  const headers: Record<string, string | number> = {
    "content-type": "application/json",
    "content-length": lengthOf(pieces),
  }
  const id = opensSession(message) ? randomUUID() : session
  if (id !== undefined) {
    sessions.add(id)
    headers["mcp-session-id"] = id
  }
  response.writeHead(200, headers)
  // the common answer is one piece, which goes out with the head
  for (const piece of pieces.slice(0, -1)) response.write(piece)
  response.end(pieces.at(-1))
}

/** Opens an event stream, whose head comes at once, and whose body never begins. */
const answerGet = (response: ServerResponse): void => {
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" })
  response.flushHeaders()
}

const answerPosted = (request: IncomingMessage, response: ServerResponse, session: string | undefined): void => {
  let body: Buffer | undefined
  request.on("data", (chunk: Buffer) => {
    body = body === undefined ? chunk : Buffer.concat([body, chunk])
  })
  request.on("end", () => {
    try {
      answerPost(response, body ?? Buffer.alloc(0), session)
    } catch {
      sendStatus(response, 400)
    }
  })
}

const serve = (request: IncomingMessage, response: ServerResponse): void => {
  const id = request.headers["mcp-session-id"]
  const session = typeof id === "string" ? id : undefined
  const isUnknown = session !== undefined && !sessions.has(session)
  if (request.url !== "/mcp" || isUnknown) {
    request.resume()
    sendStatus(response, 404)
  } else if (request.method === "POST") answerPosted(request, response, session)
  else if (request.method === "GET") answerGet(response)
  else if (request.method === "DELETE") {
    if (session !== undefined) sessions.delete(session)
    sendStatus(response, 204)
  } else sendStatus(response, 405)
}

const listen = (port: number): void => {
  // longer than any proxy keeps an idle connection: none of them shall meet one that was just closed
  const server = createServer({ keepAliveTimeout: 120_000 }, serve)
  server.requestTimeout = 0
  server.listen({ port, host: "127.0.0.1", backlog: 4_096 })
  process.once("SIGTERM", () => process.exit(0))
}

const talk = (): void => {
  const lines = createInterface({ input: process.stdin, terminal: false })
  lines.on("line", (line) => {
    if (line.trim() === "") return
    const pieces = answerTo(readMessage(line))
    if (pieces === undefined) return
    for (const piece of pieces) process.stdout.write(piece)
    process.stdout.write("\n")
  })
  lines.on("close", () => process.exit(0))
}

const { values } = parseArgs({ options: { port: { type: "string" }, stdio: { type: "boolean", default: false } } })
if (values.stdio) talk()
else listen(Number(values.port ?? process.env.PORT ?? 8080))
