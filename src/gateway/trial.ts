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

/** Whose server is tried, and where it is. */
type TriedServer = {
  readonly target: MCPTarget
  readonly identity: Identity
  readonly subjectKey: SubjectKey
  readonly placement: Placement
}

/**
 * Asks a server as its callers' requests are sent: with the headers, limits and repetitions of real ones, and with the tool
 * policy in force. What the server answers is told as it is, with the server's own session id. Throws what an exchange
 * throws; the body fails with UpstreamInvalid where the policy cannot be applied.
 */
export type AskServer = (server: TriedServer, request: ServerRequest) => Promise<Response>

/** What a trial is made of. */
type TrialDeps = {
  readonly exchange: ExchangeDeps
  readonly toolPolicyOf: ToolPolicies
  readonly toolsNow: (placed: Placed) => ToolPolicy | undefined
  readonly turns: Turns
  readonly clock: ClockPort
  readonly publicUrl: string
}

const toPlaced = ({ toolPolicyOf, clock, publicUrl }: TrialDeps, seat: TriedServer, asked: ServerRequest): Placed => {
  const { target, identity, subjectKey, placement } = seat
  const { verb, signal, body } = asked
  const { "mcp-session-id": upstreamSession, ...headers } = asked.headers
  const permitted = permit({
    ...{ requestId: newRequestId(), receivedAt: clock.now(), verb, headers, signal, identity, target, body },
    // there is no client's connection behind it
    origin: { address: "unknown", host: new URL(publicUrl).host, protocol: "http" },
    targetName: target.metadata.name,
    tools: toolPolicyOf(target),
    reading: body === undefined ? undefined : readMessages(body),
  })
  return { ...permitted, subjectKey, session: undefined, mode: "create", placement, upstreamSession }
}

/** Makes what asks servers for a trial. */
export const createTrial =
  (deps: TrialDeps): AskServer =>
  async (seat, request) => {
    const { placed, answer, close } = await exchange(deps.exchange, toPlaced(deps, seat, request))
    const paces = { owner: ownerOf(seat.identity), signal: request.signal }
    return toWebResponse(paced(answer, deps.turns, paces), {
      filter: () => planFor(answer, () => deps.toolsNow(placed)).filter,
      close,
    })
  }
