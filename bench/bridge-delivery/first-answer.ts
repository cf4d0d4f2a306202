/** The first answer of a tool that a user gets who has no instance, through the gateway. */
import { resultIn } from "../peers/session.ts"

const revision = "2025-11-25"

/** Who asks, and where. */
export type Asker = { readonly url: string; readonly token: string; readonly signal: AbortSignal }

/** Seconds from a user's first request. */
export type FirstAnswer = {
  /** Until the answer to `initialize`. */
  readonly opened: number
  /** Until the answer of the tool, two requests later. */
  readonly called: number
}

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
 * Rejects if the answer is not the tool's.
 */
export const firstAnswer = async (asker: Asker): Promise<FirstAnswer> => {
  const begun = performance.now()
  const since = (): number => (performance.now() - begun) / 1_000
  const clientInfo = { name: "bench", version: "1.0.0" }
  const params = { protocolVersion: revision, capabilities: {}, clientInfo }
  const opened = await post(asker, {}, { id: 1, method: "initialize", params })
  resultIn(await opened.text(), 1)
  const openedAfter = since()
  const session = {
    "mcp-session-id": opened.headers.get("mcp-session-id") ?? "",
    "mcp-protocol-version": revision,
  }
  await (await post(asker, session, { method: "notifications/initialized" })).text()
  const called = await post(asker, session, { id: 2, method: "tools/call", params: { name: "whoami", arguments: {} } })
  const result = resultIn(await called.text(), 2) as { readonly content?: readonly { readonly text?: string }[] }
  const calledAfter = since()
  const said = result.content?.[0]?.text ?? ""
  if (!/^(pid|process) \d/.test(said)) throw new Error(`the tool answered: ${said.slice(0, 200)}`)
  return { opened: openedAfter, called: calledAfter }
}
