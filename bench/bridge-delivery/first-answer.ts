/** The first answer of a tool that a user gets who has no instance, through the gateway. */
import { resultIn } from "../peers/session.ts"

const revision = "2025-11-25"

/** Who asks, and where. */
export type Asker = { readonly url: string; readonly token: string; readonly signal: AbortSignal }

const post = async ({ url, token, signal }: Asker, session: object, message: object): Promise<Response> => {
  const response = await fetch(url, {
    method: "POST",
    headers: {
      authorization: `Bearer ${token}`,
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      ...session,
    },
    body: JSON.stringify({ jsonrpc: "2.0", ...message }),
    signal,
  })
  if (response.ok) return response
  throw new Error(`${url} answered ${response.status}: ${(await response.text()).slice(0, 500)}`)
}

/**
 * Opens a session as a client of revision 2025-11-25 does, and calls the tool `whoami` of the servers that are compared.
 * Resolves with the seconds from the first request until the tool's answer has been read.
 */
export const firstAnswer = async (asker: Asker): Promise<number> => {
  const begun = performance.now()
  const clientInfo = { name: "bench", version: "1.0.0" }
  const params = { protocolVersion: revision, capabilities: {}, clientInfo }
  const opened = await post(asker, {}, { id: 1, method: "initialize", params })
  resultIn(await opened.text(), 1)
  const session = {
    "mcp-session-id": opened.headers.get("mcp-session-id") ?? "",
    "mcp-protocol-version": revision,
  }
  await (await post(asker, session, { method: "notifications/initialized" })).text()
  const called = await post(asker, session, { id: 2, method: "tools/call", params: { name: "whoami", arguments: {} } })
  const result = resultIn(await called.text(), 2) as { readonly content?: readonly { readonly text?: string }[] }
  const seconds = (performance.now() - begun) / 1_000
  const said = result.content?.[0]?.text ?? ""
  if (!/^(pid|process) \d/.test(said)) throw new Error(`the tool answered: ${said.slice(0, 200)}`)
  return seconds
}
