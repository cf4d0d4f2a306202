import { post } from "./reflow.ts"

/** The envelope that each request of revision 2026-07-28 carries. */
export const envelope = {
  "io.modelcontextprotocol/protocolVersion": "2026-07-28",
  "io.modelcontextprotocol/clientInfo": { name: "test", version: "1" },
  "io.modelcontextprotocol/clientCapabilities": {},
}

/** A JSON-RPC answer, from a JSON body or from the last event of a stream that has the id. */
// biome-ignore lint/suspicious/noExplicitAny: tests look into answers of any shape
export const answerOf = async (response: Response, id: number | string = 1): Promise<any> => {
  const text = await response.text()
  const head = `${response.status} ${JSON.stringify(Object.fromEntries(response.headers))}`
  if (!response.headers.get("content-type")?.includes("text/event-stream")) {
    if (!/^\s*[[{]/.test(text)) throw new Error(`no JSON, but ${head}: ${text}`)
    return JSON.parse(text)
  }
  for (const line of text.split("\n")) {
    if (!line.startsWith("data:")) continue
    // the event that makes a stream resumable has no data
    if (line.slice(5).trim() === "") continue
    const message = JSON.parse(line.slice(5))
    if (message.id === id) return message
  }
  throw new Error(`no answer to ${id} in ${head}: ${text}`)
}

/** POSTs one stateless tools/call. */
export const callTool = (
  url: string,
  token: string | undefined,
  name: string,
  args: Readonly<Record<string, unknown>> = {},
  signal?: AbortSignal,
): Promise<Response> =>
  post(
    url,
    token,
    { jsonrpc: "2.0", id: 1, method: "tools/call", params: { name, arguments: args, _meta: envelope } },
    { "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": name },
    signal,
  )

/** Calls a tool and resolves with the text of its result; an error of JSON-RPC is thrown with its data. */
export const toolText = async (
  url: string,
  token: string,
  name: string,
  args: Readonly<Record<string, unknown>> = {},
): Promise<string> => {
  const answer = await answerOf(await callTool(url, token, name, args))
  if (answer.error !== undefined) throw new Error(JSON.stringify(answer.error))
  return answer.result.content.map((part: { text?: string }) => part.text ?? "").join("")
}
