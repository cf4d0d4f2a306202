import type { MCPTarget } from "../api/kinds/mcp-target.ts"
import { type Identity, ownerOf } from "../identity/identity.ts"
import type { SubjectKey } from "../identity/subject-key.ts"
import type { Turns } from "../intake/turns.ts"
import type { ServerRequest } from "../mcp/client.ts"
import { readMessages } from "../mcp/message.ts"
import type { ToolPolicies, ToolPolicy } from "../mcp/tool-policy.ts"
import type { Placement } from "../placement/port.ts"
import type { ClockPort } from "../ports/clock.ts"
import { paced, planFor } from "./answer/body-plan.ts"
import { type ExchangeDeps, exchange } from "./exchange.ts"
import { newRequestId } from "./incoming.ts"
import type { Placed } from "./pipeline.ts"
import { permit } from "./policy.ts"
import { toWebResponse } from "./wire/web-response.ts"

/** The server that is tested: its target, for which caller, and where it is. */
type TriedServer = {
  readonly target: MCPTarget
  readonly identity: Identity
  readonly subjectKey: SubjectKey
  readonly placement: Placement
}

/**
 * Sends a request to a server as a caller's request would be sent: with the same headers, limits and repetitions, and
 * under the tool policy in force. Resolves with the server's answer, which keeps the server's own session id. Throws
 * what an exchange throws; the body fails with UpstreamInvalid where the policy cannot be applied.
 */
export type AskServer = (server: TriedServer, request: ServerRequest) => Promise<Response>

type TrialDeps = {
  readonly exchange: ExchangeDeps
  readonly toolPolicyOf: ToolPolicies
  readonly toolsNow: (placed: Placed) => ToolPolicy | undefined
  readonly turns: Turns
  readonly clock: ClockPort
  readonly publicUrl: string
}

const toPlaced = ({ toolPolicyOf, clock, publicUrl }: TrialDeps, server: TriedServer, asked: ServerRequest): Placed => {
  const { target, identity, subjectKey, placement } = server
  const { verb, signal, body } = asked
  const { "mcp-session-id": upstreamSession, ...headers } = asked.headers
  const permitted = permit({
    ...{ requestId: newRequestId(), receivedAt: clock.now(), verb, headers, signal, identity, target, body },
    // a test has no client's connection
    origin: { address: "unknown", host: new URL(publicUrl).host, protocol: "http" },
    targetName: target.metadata.name,
    tools: toolPolicyOf(target),
    reading: body === undefined ? undefined : readMessages(body),
  })
  return { ...permitted, subjectKey, session: undefined, mode: "create", placement, upstreamSession }
}

/** Creates the function that sends requests to servers for the test of a target. */
export const createTrial =
  (deps: TrialDeps): AskServer =>
  async (server, request) => {
    const { placed, answer, close } = await exchange(deps.exchange, toPlaced(deps, server, request))
    const paces = { owner: ownerOf(server.identity), signal: request.signal }
    return toWebResponse(paced(answer, deps.turns, paces), {
      filter: () => planFor(answer, () => deps.toolsNow(placed)).filter,
      close,
    })
  }
