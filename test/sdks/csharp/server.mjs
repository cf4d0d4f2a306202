/**
 * Answers as a server of the official C# SDK on Kestrel does: its heads (StreamableHttpHandler: `Content-Encoding: identity`
 * on whatever it answers to a message, 202 without a body, problems as `application/json; charset=utf-8`), its events
 * (`event: message`, then data), its JSON (own members before the inherited ones, so `jsonrpc` last; characters that HTML
 * knows, and all beyond ASCII, escaped). For machines that cannot have .NET.
 * CANCEL_FILE: where `slow` writes when it sees that it was cancelled; the same name with `.began`: when it is at work.
 */
import { randomBytes } from "node:crypto"
import { writeFileSync } from "node:fs"
import { createServer } from "node:http"
import { setTimeout as sleep } from "node:timers/promises"

const note = "test://note"
const revisions = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"]

const unit = (character) => `\\u${character.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}`
const toJson = (message) => JSON.stringify(message).replace(/[<>&'+`\u007f-\uffff]/g, unit)

const text = (words) => ({ content: [{ type: "text", text: words }] })
const mark = (end, words) => {
  if (process.env.CANCEL_FILE !== undefined) writeFileSync(`${process.env.CANCEL_FILE}${end}`, words)
}

const slow = async ({ seconds = 1 }, { signal }) => {
  mark(".began", "began")
  try {
    await sleep(seconds * 1000, undefined, { signal })
    return text(`slept ${seconds} seconds`)
  } catch (error) {
    mark("", "cancelled")
    throw error
  }
}

const progress = async ({ steps = 4 }, { signal, send, progressToken }) => {
  for (let step = 1; step <= steps; step++) {
    const params = { progressToken, progress: step, total: steps }
    if (progressToken !== undefined) send({ method: "notifications/progress", params, jsonrpc: "2.0" })
    await sleep(20, undefined, { signal })
  }
  return text(`${steps} steps done`)
}

const sample = async (_, { ask }) => {
  const messages = [{ role: "user", content: { type: "text", text: "Say something." } }]
  const { content } = await ask("sampling/createMessage", { messages, maxTokens: 20 })
  return text(`the model said: ${[content].flat()[0].text}`)
}

const elicit = async (_, { ask }) => {
  const requestedSchema = { type: "object", properties: { name: { type: "string" } }, required: ["name"] }
  const { action, content } = await ask("elicitation/create", { message: "What is your name?", requestedSchema })
  return text(`the user said: ${action} ${content?.name}`)
}

const tools = {
  echo: ({ message }) => text(`Echo: ${message}`),
  slow,
  progress,
  sample,
  elicit,
  pid: () => text(String(process.pid)),
  env: () => text(Object.keys(process.env).join(" ")),
  fail: () => ({ ...text("An error occurred invoking 'fail'."), isError: true }),
}

const methods = {
  initialize: ({ protocolVersion }) => ({
    protocolVersion: revisions.includes(protocolVersion) ? protocolVersion : revisions.at(-1),
    capabilities: { logging: {}, resources: { listChanged: true }, tools: { listChanged: true } },
    serverInfo: { name: "csharp", version: "1.0.0.0" },
  }),
  ping: () => ({}),
  "logging/setLevel": () => ({}),
  "tools/list": () => ({
    tools: Object.keys(tools).map((name) => ({ name, description: `Tests ${name}.`, inputSchema: { type: "object" } })),
  }),
  "tools/call": (params, context) =>
    tools[params.name]?.(params.arguments ?? {}, { ...context, progressToken: params._meta?.progressToken }),
  "resources/list": () => ({ resources: [{ name: "note", uri: note, mimeType: "text/plain" }] }),
  "resources/templates/list": () => ({ resourceTemplates: [] }),
  "resources/read": ({ uri }) => ({ contents: [{ text: "a note", uri, mimeType: "text/plain" }] }),
}

/** What is open in a session: calls by their id, and questions to the client by ours. */
const newSession = (id) => ({ id, calls: new Map(), questions: new Map(), lastQuestion: 0, stream: undefined })
const sessions = new Map()

const kestrel = { Server: "Kestrel" }
const streamHead = (session) => ({
  ...kestrel,
  "Content-Type": "text/event-stream",
  "Content-Encoding": "identity",
  "Cache-Control": "no-cache,no-store",
  "Mcp-Session-Id": session.id,
})

const problem = (response, status, message, code = -32000) => {
  response.writeHead(status, { ...kestrel, "Content-Type": "application/json; charset=utf-8" })
  response.end(toJson({ error: { code, message }, id: "", jsonrpc: "2.0" }))
}

const answerCall = async (session, { id, method, params = {} }, response) => {
  response.writeHead(200, streamHead(session)).flushHeaders()
  const send = (message) => response.write(`event: message\ndata: ${toJson(message)}\n\n`)
  const cancelled = new AbortController()
  session.calls.set(id, cancelled)
  const ask = (name, asked) =>
    new Promise((done) => {
      session.lastQuestion += 1
      session.questions.set(session.lastQuestion, done)
      send({ method: name, params: asked, id: session.lastQuestion, jsonrpc: "2.0" })
    })
  try {
    const result = await methods[method]?.(params, { send, ask, signal: cancelled.signal })
    if (result !== undefined) send({ result, id, jsonrpc: "2.0" })
    else send({ error: { code: -32601, message: `Method '${method}' is not available.` }, id, jsonrpc: "2.0" })
    response.end()
  } catch {
    // a cancelled request gets no answer, and its stream stays until the client leaves
  } finally {
    session.calls.delete(id)
  }
}

const heard = (session, message, response) => {
  if (message.method === "notifications/cancelled") session.calls.get(message.params.requestId)?.abort()
  if (message.method === undefined) session.questions.get(message.id)?.(message.result)
  const { "Content-Type": _, ...head } = streamHead(session)
  response.writeHead(202, { ...head, "Content-Length": "0" }).end()
}

const bodyOf = async (request) => {
  const pieces = []
  for await (const piece of request) pieces.push(piece)
  return JSON.parse(Buffer.concat(pieces).toString())
}

const takePost = async (request, response) => {
  const message = await bodyOf(request)
  const id = request.headers["mcp-session-id"]
  if (id === undefined && message.method !== "initialize")
    return problem(
      response,
      400,
      "Bad Request: A new session can only be created by an initialize request. Include a valid Mcp-Session-Id header for non-initialize requests.",
    )
  const session = id === undefined ? newSession(randomBytes(16).toString("base64url")) : sessions.get(id)
  if (session === undefined) return problem(response, 404, "Session not found", -32001)
  sessions.set(session.id, session)
  if (message.id !== undefined && message.method !== undefined) return answerCall(session, message, response)
  heard(session, message, response)
}

const answer = async (request, response) => {
  const version = request.headers["mcp-protocol-version"]
  if (version !== undefined && !revisions.includes(version))
    return problem(response, 400, `Bad Request: The MCP-Protocol-Version header value '${version}' is not supported.`)
  if (request.method === "POST") return takePost(request, response)
  const session = sessions.get(request.headers["mcp-session-id"])
  if (session === undefined) return problem(response, 404, "Session not found", -32001)
  if (request.method === "GET") return response.writeHead(200, streamHead(session)).flushHeaders()
  sessions.delete(session.id)
  response.writeHead(200, { ...kestrel, "Content-Length": "0" }).end()
}

createServer((request, response) => void answer(request, response)).listen(Number(process.env.PORT), "127.0.0.1")
