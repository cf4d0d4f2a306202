import type { MCPTarget } from "../api/mcp-target.ts"
import type { Identity } from "../identity/identity.ts"

/** Where a trial meets its server. */
export type TrialSeat = {
  /** Name of the instance. */
  readonly instance: string
  readonly url: URL
  /** Ends the use of the instance. */
  end(): void
}

/** What the test of a target needs of the gateway; the roles hand it over. */
export type TrialPort = {
  /** Finds or starts the caller's instance, waits until it answers, and marks it as in use. Throws what placement throws. */
  place(target: MCPTarget, identity: Identity, signal: AbortSignal): Promise<TrialSeat>
  /** Tells which tools of one answer the target's policy shows. Throws UpstreamInvalid if there is too much to compare. */
  toolsShownBy(target: MCPTarget): (tool: string) => boolean
}
