import type { MCPTarget } from "../api/kinds/mcp-target.ts"
import type { Identity } from "../identity/identity.ts"
import type { Send } from "../mcp/client.ts"

/** The REST call that tests a target: its request id for the log, and a signal that is aborted at its timeout. */
type TrialCall = { readonly requestId: string; readonly signal: AbortSignal }

/** The server that a test uses: an instance, or a remote server. */
export type TrialSeat = {
  /** Name of the instance; undefined for a remote server. */
  readonly instance: string | undefined
  /** Sends a request to the server as the gateway sends an MCP request; throws the same errors. */
  readonly ask: Send
  /** Ends the use: the instance no longer counts as in use because of this test. Call it once. */
  end(): void
}

/** The functions of gateway and placement that the test of a target calls; src/roles/front.ts provides them. */
export type TrialPort = {
  /**
   * Finds or starts the caller's instance, waits until it answers, and marks it as in use. Nothing is started for a
   * remote server. Throws placement's errors.
   */
  place(target: MCPTarget, identity: Identity, by: TrialCall): Promise<TrialSeat>
}
