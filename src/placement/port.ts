import type { MCPTarget } from "../api/kinds/mcp-target.ts"
import type { AppError } from "../errors.ts"
import type { Identity } from "../identity/identity.ts"
import type { SubjectKey } from "../identity/subject-key.ts"
import type { Signal } from "../waiting/in-progress.ts"

/** A request that needs an instance, as the gateway's pipeline passes it to placement. */
export type PlacementRequest = {
  readonly target: MCPTarget
  readonly identity: Identity
  readonly subjectKey: SubjectKey
  /**
   * `create`: find or create the sharer's instance and wait until it answers.
   * `find`: only an instance that exists already (GET, DELETE, sessions of a stateful target); else `SessionNotFound`.
   */
  readonly mode: "create" | "find"
  /**
   * True if the message belongs to a call that is open already (a response to a server's request, a cancellation): it
   * is sent to an instance that drains too, since the call could not end without it. Default false.
   */
  readonly continues?: boolean
  /** Id of the request, for the log. */
  readonly requestId?: string | undefined
  /** Aborted when the client disconnects. */
  readonly signal: Signal
}

/** How one sharer's requests to a server outside of the cluster are sent. */
export type RemoteWay = {
  /** The target's headers with the sharer's credentials, a flat list of names (lower case) and values; secret. */
  readonly headers: readonly string[]
  /** Certificates (PEM) of the authorities that may sign the server's; undefined: the usual ones. */
  readonly ca: string | undefined
  /** Connections are shared by requests with the same text. It depends on secrets: only for memory. */
  readonly pool: string
  /** Names this target in the header CDN-Loop (RFC 8586), by which a request is known that has come back. */
  readonly loop: string
  /** The error for a server that answers 401 or 403. Each call is counted. */
  rejected(status: number): AppError
  /**
   * Calls `listener`, once, when the incarnation is over, e.g. after a change of the credentials; at once if it is over
   * already. The returned function unsubscribes.
   */
  follow(listener: () => void): () => void
}

/** Where to send the request, and how long it waited for that. */
export type Placement = {
  /** Name of the instance; of a remote server, which has none, a text that no instance has as its name. */
  readonly instance: string
  /** UID of the instance; of a remote server that of the target. */
  readonly instanceUID: string
  /**
   * Pod UID and container restart count; of a remote server see remote/incarnation.ts. Sessions and connection pools
   * belong to one incarnation.
   */
  readonly incarnation: string
  /** Full URL of the MCP endpoint. */
  readonly url: URL
  /** Present if somebody else runs the server. */
  readonly remote?: RemoteWay
  /**
   * Seconds of each known step of the start, if this request waited; for the header Server-Timing. The last steps are
   * often missing, because the server answers before the operator has written them.
   */
  readonly timings?: Readonly<Record<string, number>>
  /** How long this request waited for its instance, in milliseconds; absent if it did not. */
  readonly waitedMs?: number
}

/** Placement, as the gateway's pipeline uses it. */
export type PlacementPort = {
  /**
   * Finds the server for a request. If the instance is ready, returns at once and waits for no I/O. Else creates the
   * instance if it must and waits, at most `hold_timeout`. Throws or rejects with InstanceFailed, InstanceStarting,
   * CapacityExceeded, QuotaExceeded, TooManyWaiting, CredentialMissing, AddressNotAllowed, PluginFailed, NameConflict, SessionNotFound,
   * TargetPaused, TargetNotFound, ClusterUnavailable, ShuttingDown, or with the reason of the request's signal.
   */
  place(request: PlacementRequest): Placement | Promise<Placement>
  /**
   * After a remote server has refused the credentials of a placement: reads them once more. True if they differ from
   * those that were sent, so that the next `place` returns others. False for a server in the cluster.
   */
  renew(placement: Placement, signal: AbortSignal): Promise<boolean>
  /** Counts an open call on the instance as use until the returned function is called, once or more often. */
  beginCall(placement: Placement): () => void
  /** Counts bytes of a stream without a call (GET, subscriptions/listen) as use. */
  touchStream(placement: Placement): void
  /**
   * The current incarnation of the placed instance, by one read of the API server. If it is another one than the
   * placement's, a 400 or 404 for a session, or a refused connection, means that the server was replaced. Undefined if
   * the instance was deleted. `knownMs`: what is known of a remote server may be that old, milliseconds; default 0.
   */
  currentIncarnation(placement: Placement, signal: AbortSignal, knownMs?: number): Promise<string | undefined>
  /**
   * True if the server of a broken connection still runs: it takes connections, and its incarnation stays the same for
   * the 5 s within which its node reports an end. Rejects with the signal's reason, or with the cluster's error.
   */
  stillRuns(placement: Placement, signal: AbortSignal): Promise<boolean>
  /**
   * Reports that the server could not be reached at the placement's address. The address is forgotten and the instance
   * read from the API server, so that the next `place` probes again, even if the watch lags.
   */
  reportUnreachable(placement: Placement): void
  /** Rejects all waiting requests with ShuttingDown and removes this replica's in-use marks. */
  close(): Promise<void>
}
