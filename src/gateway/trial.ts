import type { MCPTarget } from "../api/kinds/mcp-target.ts"
import { AppError } from "../errors.ts"
import { type Identity, ownerOf } from "../identity/identity.ts"
import type { SubjectKey } from "../identity/subject-key.ts"
import type { Turns } from "../intake/turns.ts"
import { readMessages } from "../mcp/message.ts"
import type { BodyFilter } from "../mcp/tool-filter.ts"
import type { ToolPolicies, ToolPolicy } from "../mcp/tool-policy.ts"
import type { Placement } from "../placement/port.ts"
import type { ClockPort } from "../ports/clock.ts"
import { paced, planFor } from "./answer/body-plan.ts"
import { type ExchangeDeps, exchange } from "./exchange.ts"
import { newRequestId } from "./incoming.ts"
import type { Exchanged, Placed } from "./pipeline.ts"
import { permit } from "./policy.ts"

/** Whose server is tried, and where it is. */
export type TrialSeat = {
  readonly target: MCPTarget
  readonly identity: Identity
  readonly subjectKey: SubjectKey
  readonly placement: Placement
}

/** One request of a trial, as an MCP client would send it. */
export type TrialRequest = {
  readonly verb: "POST" | "DELETE"
  /** By lower-case name; `mcp-session-id` is the server's own. */
  readonly headers: Readonly<Record<string, string>>
  readonly body?: Buffer
  readonly signal: AbortSignal
}

/**
 * Asks a server as its callers' requests are sent: with the headers, limits and repetitions of real ones, and with the tool
 * policy in force. What the server answers is told as it is, with the server's own session id. Throws what an exchange
 * throws; the body fails with UpstreamInvalid where the policy cannot be applied.
 */
export type AskServer = (seat: TrialSeat, request: TrialRequest) => Promise<Response>

/** What a trial is made of. */
export type TrialDeps = {
  readonly exchange: ExchangeDeps
  readonly toolPolicyOf: ToolPolicies
  readonly toolsNow: (placed: Placed) => ToolPolicy | undefined
  readonly turns: Turns
  readonly clock: ClockPort
  readonly publicUrl: string
}

const toPlaced = ({ toolPolicyOf, clock, publicUrl }: TrialDeps, seat: TrialSeat, asked: TrialRequest): Placed => {
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

/** The body as a stream that is read as fast as it is taken. */
const streamOf = ({ answer, close }: Exchanged, filter: BodyFilter | undefined): ReadableStream<Uint8Array> =>
  new ReadableStream<Uint8Array>({
    start: (controller) => {
      const give = (bytes: Buffer): boolean => {
        if (bytes.length > 0) controller.enqueue(bytes)
        return (controller.desiredSize ?? 0) > 0
      }
      const giveUp = (error: unknown): void => {
        controller.error(error)
        close()
      }
      let isOver = false
      const attempt = (task: () => boolean): boolean => {
        try {
          return isOver || task()
        } catch (error) {
          isOver = true
          giveUp(error)
          return true
        }
      }
      answer.consume({
        data: (chunk) => attempt(() => give(filter === undefined ? chunk : filter.push(chunk))),
        end: () =>
          attempt(() => {
            if (filter !== undefined) give(filter.end())
            controller.close()
            close()
            return true
          }),
        fail: (error) =>
          attempt(() => {
            throw error
          }),
      })
    },
    pull: () => answer.resume(),
    cancel: close,
  })

const told: readonly string[] = ["content-type", "mcp-session-id"]
const withoutBody: readonly number[] = [204, 205, 304]

/** The answer as the trial sees it; `toBody` is asked where there is a body. Throws UpstreamInvalid. */
const toResponse = ({ answer, close }: Exchanged, toBody: () => ReadableStream<Uint8Array>): Response => {
  const { status } = answer
  if (status < 200 || status > 599)
    throw new AppError("UpstreamInvalid", { detail: `The server answered with HTTP status ${status}.` })
  const headers = new Headers()
  for (const name of told) {
    const value = answer.headers[name]
    if (value !== undefined) headers.set(name, String(value))
  }
  if (!withoutBody.includes(status)) return new Response(toBody(), { status, headers })
  close()
  return new Response(null, { status, headers })
}

/** Makes what asks servers for a trial. */
export const createTrial =
  (deps: TrialDeps): AskServer =>
  async (seat, request) => {
    const exchanged = await exchange(deps.exchange, toPlaced(deps, seat, request))
    const { placed, answer } = exchanged
    const paces = { owner: ownerOf(seat.identity), signal: request.signal }
    const toBody = () => {
      const { filter } = planFor(answer, () => deps.toolsNow(placed))
      return streamOf({ ...exchanged, answer: paced(answer, deps.turns, paces) }, filter)
    }
    try {
      return toResponse(exchanged, toBody)
    } catch (error) {
      exchanged.close()
      throw error
    }
  }
