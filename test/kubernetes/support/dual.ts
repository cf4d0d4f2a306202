/** A legacy session with the server `dual`, which counts in memory: who finds its count again is in the same process. */

import { expect } from "vitest"
import { initialize } from "../../support/reflow.ts"
import { answerTo, type Caller, send } from "./load.ts"

/** The target, as MCPTarget in the namespace of the instances. */
export const dualTarget = (namespace: string, env: readonly { name: string; value: string }[] = []) => ({
  apiVersion: "mcp.reflow.io/v1alpha1",
  kind: "MCPTarget",
  metadata: { name: "dual", namespace },
  spec: {
    image: "ghcr.io/reflow/example-dual:1.0.0",
    port: 8080,
    statefulness: "stateful",
    isolationBoundary: "per_user",
    env,
  },
})

const inSession = (id: string) => ({ "mcp-session-id": id, "mcp-protocol-version": "2025-11-25" })

/** Opens a session; resolves with its id. */
export const openSession = async (caller: Caller): Promise<string> => {
  const { headers } = await answerTo(caller, { message: initialize() }, 1)
  const id = String(headers["mcp-session-id"])
  const message = { jsonrpc: "2.0", method: "notifications/initialized" }
  const accepted = await send(caller, { message, headers: inSession(id) })
  accepted.resume()
  expect(accepted.statusCode).toBe(202)
  return id
}

/** Counts one further in the server of a session; resolves with the count. */
export const touch = async (caller: Caller, session: string): Promise<number> => {
  const message = { jsonrpc: "2.0", id: 2, method: "tools/call", params: { name: "touch", arguments: {} } }
  const { answer } = await answerTo(caller, { message, headers: inSession(session) }, 2)
  const result = answer.result as { readonly content?: readonly { readonly text?: string }[] } | undefined
  return Number(result?.content?.[0]?.text)
}
