/** The properties of MCP's methods that the gateway uses (revisions 2025-11-25 and 2026-07-28). */

/** Properties of a method; an absent one is false. */
type MethodFacts = {
  /** The method changes nothing, so that sending it twice does no harm. */
  readonly repeatable?: true
  /** A notification that belongs to a call which is open already. */
  readonly continuesCall?: true
  /** Its answer is a stream without a call: it may be silent and stay open for hours. */
  readonly opensStream?: true
  /** Which parameter the header `Mcp-Name` repeats, and whether the header must be there. */
  readonly nameParameter?: { readonly name: string; readonly isRequired: boolean }
  /** The method reaches data of one caller by an id alone, or lists such data without an id. */
  readonly needsOwnInstance?: true
}

const repeatable: MethodFacts = { repeatable: true }
const continuing: MethodFacts = { continuesCall: true }
const named = (name: string): MethodFacts => ({ nameParameter: { name, isRequired: true } })
const ofTasks: MethodFacts = { needsOwnInstance: true }
const ofOneTask: MethodFacts = { ...ofTasks, nameParameter: { name: "taskId", isRequired: false } }

const table: ReadonlyMap<string, MethodFacts> = new Map(
  Object.entries({
    initialize: repeatable,
    ping: repeatable,
    "server/discover": repeatable,
    "tools/list": repeatable,
    "prompts/list": repeatable,
    "resources/list": repeatable,
    "resources/templates/list": repeatable,
    "tools/call": named("name"),
    "prompts/get": named("name"),
    "resources/read": named("uri"),
    "subscriptions/listen": { opensStream: true },
    "notifications/cancelled": continuing,
    "notifications/progress": continuing,
    "tasks/get": ofOneTask,
    "tasks/update": ofOneTask,
    "tasks/cancel": ofOneTask,
  } satisfies Record<string, MethodFacts>),
)

const nothing: MethodFacts = {}

/**
 * The properties of a method: none for most, and for unknown ones. All methods of the tasks extension (`tasks/…`) need
 * an instance of the caller's own.
 */
export const factsOf = (method: string): MethodFacts =>
  table.get(method) ?? (method.startsWith("tasks/") ? ofTasks : nothing)
