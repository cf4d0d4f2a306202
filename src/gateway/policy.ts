import type { MCPTarget } from "../api/kinds/mcp-target.ts"
import { AppError, hasCode } from "../errors.ts"
import type { Identity } from "../identity/identity.ts"
import type { Message, Params } from "../mcp/message.ts"
import { factsOf } from "../mcp/methods.ts"
import { checkHeaders } from "../mcp/mirrored-headers.ts"
import type { ToolPolicies, ToolPolicy } from "../mcp/tool-policy.ts"
import { type Era, withBatches } from "../mcp/versions.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { Admitted, Identified, Known, Permitted, Read } from "./pipeline.ts"
import { boundInitialize } from "./session/session.ts"

const essential = (method: string, params: Params): Params => {
  if (method === "initialize") return boundInitialize(params) ?? {}
  return typeof params.name === "string" ? { name: params.name } : {}
}

/**
 * What is still asked of a message once it is permitted: method and name for the log, and what opens a session again.
 * The rest of its parameters is in the body anyway, and takes up to fifteen times as much memory here: a request that
 * waits, or a call that runs for hours, must not hold it.
 */
const abridge = (message: Message): Message =>
  message.kind === "response" ? message : { ...message, params: essential(message.method, message.params) }

/** What admission asks: the known targets, and who may use them. */
type AdmissionDeps = {
  readonly targetNamed: (name: string) => MCPTarget | undefined
  readonly mayUse: (target: MCPTarget, identity: Identity) => boolean
  readonly toolPolicyOf: ToolPolicies
  /** Where the metadata of the resource at a path is served; see protected-resources.ts. Absent: nowhere. */
  readonly metadataUrl?: (path: string) => string | undefined
}

const checkScopes = (target: MCPTarget, identity: Identity, metadata: string | undefined): void => {
  const missing = (target.spec.requiredScopes ?? []).filter((scope) => !identity.scopes.includes(scope))
  if (missing.length === 0) return
  // a challenge takes only what a scope may consist of (RFC 6749 §3.3), and a header not even all that a target may say
  const scope = (target.spec.requiredScopes ?? []).join(" ").replace(/[^\x20\x21\x23-\x5b\x5d-\x7e]/g, "")
  const where = metadata === undefined ? "" : `, resource_metadata="${metadata}"`
  throw new AppError("Forbidden", {
    detail: `The token lacks the scopes that this target needs: ${missing.join(", ")}.`,
    headers: { "www-authenticate": `Bearer error="insufficient_scope", scope="${scope}"${where}` },
  })
}

/**
 * Lets a caller through to a target. Throws TargetNotFound, the same for unknown targets and for those that the caller
 * may not use; Forbidden if the token lacks a scope.
 */
export const admit =
  (deps: AdmissionDeps) =>
  (input: Identified): Admitted => {
    const target = deps.targetNamed(input.targetName)
    if (target === undefined || !deps.mayUse(target, input.identity)) {
      throw new AppError("TargetNotFound", {
        detail: `There is no target '${input.targetName.slice(0, 64)}' that you may use.`,
      })
    }
    checkScopes(target, input.identity, deps.metadataUrl?.(`/mcp/${input.targetName}`))
    return { ...input, target, tools: deps.toolPolicyOf(target) }
  }

const checkTool = (message: Message, tools: ToolPolicy | undefined): void => {
  if (message.kind === "response" || message.method !== "tools/call") return
  const { name } = message.params
  if (typeof name !== "string") throw new AppError("InvalidParams", { detail: "params.name is not a string." })
  if (tools === undefined || tools.allows(name)) return
  throw new AppError("UnknownTool", { detail: `Unknown tool: ${name.slice(0, 128)}` })
}

/**
 * Tasks are found by their id alone, and listed without one, so on an instance that several users share one could reach
 * another's. Whether its server keeps them apart, only the target's author knows.
 */
const checkTasks = (message: Message, { spec }: MCPTarget): void => {
  if (message.kind === "response" || spec.sharedTasks === true || !factsOf(message.method).needsOwnInstance) return
  if (spec.isolationBoundary === "per_user" && spec.subjectKey === undefined) return
  throw new AppError("Forbidden", {
    detail:
      "Several users share this target's instances, so tasks are refused; the target's sharedTasks would allow them.",
  })
}

/** Batches exist in revision 2025-03-26 only, which is also what a request without a version header speaks. */
const checkBatch = (input: Read, messages: readonly Message[]): void => {
  const version = input.headers["mcp-protocol-version"] ?? withBatches
  const modern = messages.some((message) => message.kind !== "response" && message.version !== undefined)
  if (version !== withBatches || modern) {
    throw new AppError("InvalidRequest", { detail: `Batches exist in protocol version ${withBatches} only.` })
  }
  if (messages.some((message) => message.kind !== "response" && message.method === "initialize")) {
    throw new AppError("InvalidRequest", { detail: "initialize cannot be part of a batch." })
  }
}

const eraOf = (messages: readonly Message[]): Era => {
  const first = messages[0]
  return first !== undefined && first.kind !== "response" && first.version !== undefined ? "modern" : "legacy"
}

const isOpenStream = ({ verb }: Read, messages: readonly Message[]): boolean =>
  verb === "GET" ||
  messages.some((message) => message.kind === "request" && factsOf(message.method).opensStream === true)

/** The only place where a request becomes permitted. */
const grant = (input: Read, all: readonly Message[]): Permitted => {
  const messages = all.map(abridge)
  const reading = input.reading && { ...input.reading, messages }
  const facts = { reading, messages, era: eraOf(messages), openStream: isOpenStream(input, messages) }
  return { ...input, ...facts } as unknown as Permitted
}

/**
 * Applies the target's policy to every message of the body, never to what headers say of it. Throws the reading's own
 * error, HeaderMismatch, UnknownTool, Forbidden, InvalidParams or InvalidRequest.
 */
export const permit = (input: Read): Permitted => {
  const { reading } = input
  if (reading?.error !== undefined) throw reading.error
  const messages = reading?.messages ?? []
  checkHeaders(input.headers, messages)
  if (reading?.batch) checkBatch(input, messages)
  for (const message of messages) {
    checkTool(message, input.tools)
    checkTasks(message, input.target)
  }
  return grant(input, messages)
}

/** Longest timer that is set at once, milliseconds: those of the runtime end after 24.8 days. */
const longestTimerMs = 24 * 3_600_000

const expired = (): AppError =>
  new AppError("Unauthenticated", {
    detail: "The token has expired, and what it opened has ended with it: come back with a new one.",
    headers: { "www-authenticate": 'Bearer realm="reflow", error="invalid_token"' },
  })

/**
 * Calls `end` when the token by which a caller is known expires. The returned function takes that back; nothing happens
 * for callers whose token never expires.
 */
export const atExpiry = (
  clock: ClockPort,
  { expiresAtMs }: Identity,
  end: (reason: AppError) => void,
): (() => void) => {
  if (expiresAtMs === undefined) return () => {}
  let cancel = () => {}
  const look = (): void => {
    const left = expiresAtMs - clock.now()
    if (left <= 0) end(expired())
    else cancel = clock.timer(Math.min(left, longestTimerMs), look)
  }
  look()
  return () => cancel()
}

/**
 * Why a request that was let in would be refused now: TargetNotFound or Forbidden, by the same rule as at the door.
 * Undefined if it would be let in again, or was never.
 */
export const lostRight = (known: Known, admit: (input: Identified) => unknown): AppError | undefined => {
  if (known.identity === undefined || known.target === undefined) return undefined
  try {
    admit({ ...known, identity: known.identity })
    return undefined
  } catch (error) {
    // whatever else keeps it from being judged is no judgement
    return hasCode(error, "TargetNotFound", "Forbidden") ? error : undefined
  }
}
