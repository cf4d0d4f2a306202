import type { MCPTarget } from "../api/kinds/mcp-target.ts"
import { AppError, hasCode } from "../errors.ts"
import type { Identity } from "../identity/identity.ts"
import type { Message, Params } from "../mcp/message.ts"
import { factsOf } from "../mcp/methods.ts"
import { checkHeaders } from "../mcp/mirrored-headers.ts"
import type { ToolPolicies, ToolPolicy } from "../mcp/tool-policy.ts"
import { type Era, withBatches } from "../mcp/versions.ts"
import type { ClockPort } from "../ports/clock.ts"
import { type Admitted, type Identified, type Known, type Permitted, type Read, writable } from "./pipeline.ts"
import { boundInitialize } from "./session/session.ts"

const essential = (method: string, params: Params): Params => {
  if (method === "initialize") return boundInitialize(params) ?? {}
  return typeof params.name === "string" ? { name: params.name } : {}
}

/**
 * The message with only those parameters that are used after it is permitted: the name, for the log, and what opens a
 * session again. The body holds the others as bytes. Parsed, they take up to fifteen times as much memory, which a
 * request that waits, or a call that runs for hours, must not hold.
 */
const abridge = (message: Message): Message =>
  message.kind === "response"
    ? message
    : {
        kind: message.kind,
        method: message.method,
        params: essential(message.method, message.params),
        version: message.version,
      }

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
  // keep only the characters that a challenge may have in a scope (RFC 6749 §3.3): requiredScopes may have others, even
  // some that no header may have
  const scope = (target.spec.requiredScopes ?? []).join(" ").replace(/[^\x20\x21\x23-\x5b\x5d-\x7e]/g, "")
  const where = metadata === undefined ? "" : `, resource_metadata="${metadata}"`
  throw new AppError("Forbidden", {
    detail: `The token lacks the scopes that this target needs: ${missing.join(", ")}.`,
    headers: { "www-authenticate": `Bearer error="insufficient_scope", scope="${scope}"${where}` },
  })
}

/**
 * Checks that the caller may use the target. Throws TargetNotFound, the same for unknown targets and for those that the
 * caller may not use; Forbidden if the token lacks a scope.
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
    const admitted = writable<Admitted>(input)
    admitted.target = target
    admitted.tools = deps.toolPolicyOf(target)
    return admitted
  }

const checkTool = (message: Message, tools: ToolPolicy | undefined): void => {
  if (message.kind === "response" || message.method !== "tools/call") return
  const { name } = message.params
  if (typeof name !== "string") throw new AppError("InvalidParams", { detail: "params.name is not a string." })
  if (tools === undefined || tools.allows(name)) return
  throw new AppError("UnknownTool", { detail: `Unknown tool: ${name.slice(0, 128)}` })
}

/**
 * Throws Forbidden for methods of tasks on an instance that several users share. A task is found by its id alone, and
 * listing needs no id, so a user could reach another user's tasks. Only the target's author knows whether the server
 * keeps users apart; `sharedTasks` declares it.
 */
const checkTasks = (message: Message, { spec }: MCPTarget): void => {
  if (message.kind === "response" || spec.sharedTasks === true || !factsOf(message.method).needsOwnInstance) return
  if (spec.isolationBoundary === "per_user" && spec.subjectKey === undefined) return
  throw new AppError("Forbidden", {
    detail:
      "Several users share this target's instances, so tasks are refused; the target's sharedTasks would allow them.",
  })
}

/** Batches exist in revision 2025-03-26 only, which is also the revision of a request without a version header. */
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
  const permitted = writable<Permitted>(input)
  const { reading } = input
  // the reading's own messages hold all their parameters
  if (reading !== undefined) permitted.reading = { ...reading, messages }
  permitted.messages = messages
  permitted.era = eraOf(messages)
  permitted.openStream = isOpenStream(input, messages)
  return permitted
}

/**
 * Applies the target's policy to every message of the body, never to the headers that repeat it. Throws the reading's
 * own error, HeaderMismatch, UnknownTool, Forbidden, InvalidParams or InvalidRequest.
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

/** Longest single timer, milliseconds: the runtime's timers cannot be longer than 24.8 days. */
const longestTimerMs = 24 * 3_600_000

const expired = (): AppError =>
  new AppError("Unauthenticated", {
    detail: "The token has expired, and the stream that it opened has ended: open it again with a new token.",
    headers: { "www-authenticate": 'Bearer realm="reflow", error="invalid_token"' },
  })

/**
 * Calls `end` when the caller's token expires, never for a token without expiry. The returned function cancels this.
 */
export const atExpiry = (
  clock: ClockPort,
  { expiresAtMs }: Identity,
  end: (reason: AppError) => void,
): (() => void) => {
  if (expiresAtMs === undefined) return () => {}
  let cancel = () => {}
  const check = (): void => {
    const left = expiresAtMs - clock.now()
    if (left <= 0) end(expired())
    else cancel = clock.timer(Math.min(left, longestTimerMs), check)
  }
  check()
  return () => cancel()
}

/**
 * Why a request that was admitted would be refused now, by the rules of {@link admit}: TargetNotFound or Forbidden.
 * Undefined if it would be admitted again, or never was.
 */
export const lostRight = (known: Known, admit: (input: Identified) => unknown): AppError | undefined => {
  if (known.identity === undefined || known.target === undefined) return undefined
  try {
    admit({ ...known, identity: known.identity })
    return undefined
  } catch (error) {
    // other errors, such as ClusterUnavailable, do not say that access is lost
    return hasCode(error, "TargetNotFound", "Forbidden") ? error : undefined
  }
}
