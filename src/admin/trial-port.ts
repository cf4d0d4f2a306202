import type { MCPTarget } from "../api/kinds/mcp-target.ts"
import type { Identity } from "../identity/identity.ts"
import type { Send } from "../mcp/client.ts"

/** The call of the REST API that tries a server: its id for the log, and the end of its time. */
type TrialCall = { readonly requestId: string; readonly signal: AbortSignal }

/** Where a trial meets its server. */
export type TrialSeat = {
  /** Name of the instance. */
  readonly instance: string
  /** Asks the server as an MCP request would be sent; throws what that throws. */
  readonly ask: Send
  /** Ends the use of the instance. */
  end(): void
}

/** What the test of a target needs of the gateway; the roles hand it over. */
export type TrialPort = {
  /** Finds or starts the caller's instance, waits until it answers, and marks it as in use. Throws what placement throws. */
  place(target: MCPTarget, identity: Identity, by: TrialCall): Promise<TrialSeat>
}
