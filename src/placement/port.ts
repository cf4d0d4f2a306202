import type { MCPTarget } from "../api/kinds/mcp-target.ts"
import type { Identity } from "../identity/identity.ts"
import type { SubjectKey } from "../identity/subject-key.ts"

/** What the pipeline asks of placement. */
export type PlacementRequest = {
  readonly target: MCPTarget
  readonly identity: Identity
  readonly subjectKey: SubjectKey
  /**
   * `create`: find or make the sharer's instance and wait until it answers.
   * `find`: only an instance that lives already (GET, DELETE, sessions of a stateful target); else `SessionNotFound`.
   */
  readonly mode: "create" | "find"
  /**
   * True if the message belongs to a call that is open already (an answer to a server's request, a cancellation): an
   * instance that drains still takes it, or the call could not end. Default false.
   */
  readonly continues?: boolean
  /** Id of the request, for the log. */
  readonly requestId?: string | undefined
  /** Aborted when the client goes away. */
  readonly signal: AbortSignal
}

/** Where to send the request, and what was learnt on the way. */
export type Placement = {
  readonly instance: string
  readonly instanceUID: string
  /** Pod UID and container restart: one life of the server process. Sessions and connection pools belong to one. */
  readonly incarnation: string
  /** Full URL of the MCP endpoint. */
  readonly url: URL
  /**
   * Seconds of each start step that is known, if this request waited for a start; for Server-Timing. The first answer often
   * comes before the last steps are told.
   */
  readonly timings?: Readonly<Record<string, number>>
  /** How long this request waited for its instance, in milliseconds; absent if it did not. */
  readonly waitedMs?: number
}

/** Placement as the pipeline sees it. */
export type PlacementPort = {
  /**
   * Where this request belongs. Warm: answers at once, without I/O. Cold: creates and waits, bounded by hold_timeout.
   * Throws or rejects with InstanceFailed, InstanceStarting, CapacityExceeded, QuotaExceeded, TooManyWaiting, CredentialMissing,
   * NameConflict, SessionNotFound, TargetPaused, ClusterUnavailable.
   */
  place(request: PlacementRequest): Placement | Promise<Placement>
  /** Marks an open call on the placed instance as use; the returned function ends it (once). */
  beginCall(placement: Placement): () => void
  /** Marks bytes that flowed on a stream without a call (GET, subscriptions/listen) as use. */
  touchStream(placement: Placement): void
  /**
   * The incarnation that the cluster has now for the placed instance, read once from the API server: decides whether an
   * upstream's 400/404 to a session, or a refused connection, means «another life». Undefined if the instance is gone.
   */
  currentIncarnation(placement: Placement, signal: AbortSignal): Promise<string | undefined>
  /**
   * True if the server whose connection broke lives on: it takes connections, and its incarnation is still the same when its
   * node must have noticed an end. Takes up to 5 s; rejects with the signal's reason.
   */
  livesOn(placement: Placement, signal: AbortSignal): Promise<boolean>
  /**
   * The upstream could not be reached there: forget what was learnt about its address and ask the API server, so that the
   * next place looks anew, also while the watch is behind.
   */
  reportUnreachable(placement: Placement): void
  close(): Promise<void>
}
