/**
 * The code table: every error that a function of this program throws on purpose has a code from here.
 *
 * A row has the audience of the error, its HTTP status and JSON-RPC code, whether the same request may succeed later
 * without a change, and what to do next. docs/errors.md is generated from this table.
 */

/** Who can act on an error: the MCP or REST caller, or the platform team that runs the gateway and the operator. */
type Audience = "caller" | "operator"

type Row = {
  /** Who can act on the error. */
  readonly audience: Audience
  /** HTTP status of the answer. */
  readonly status: number
  /** JSON-RPC error code on MCP paths (JSON-RPC 2.0 §5.1; own codes lie outside -32768…-32000). */
  readonly rpc: number
  /** True if the same request may succeed later by itself. */
  readonly retryable: boolean
  /** One sentence: what to do next. */
  readonly help: string
}

const caller = (status: number, rpc: number, help: string, retryable = false): Row => ({
  audience: "caller",
  status,
  rpc,
  retryable,
  help,
})
const operator = (status: number, rpc: number, help: string, retryable = false): Row => ({
  audience: "operator",
  status,
  rpc,
  retryable,
  help,
})

/** All codes. The name of a code never changes between versions; its `help` may. */
export const errorTable = {
  // before the body is read: HTTP, host, origin, route, token
  MalformedHttp: caller(400, -32600, "Send a request that HTTP/1.1 allows (RFC 9112)."),
  HeadersTooLarge: caller(431, -32600, "Send fewer or shorter headers: 32 KiB in all."),
  RequestTimeout: caller(408, -32600, "Send the head within 30 s and the whole request within 2 min.", true),
  ExpectationFailed: caller(417, -32600, "Send no Expect header, or '100-continue'."),
  TransferCodingUnknown: caller(501, -32600, "Send no Transfer-Encoding other than 'chunked'."),
  BadPath: caller(400, -32600, "Send the path in its normal form, without '.', '..', '//' or encoded slashes."),
  RepeatedHeader: caller(400, -32600, "Send the named header once."),
  BadHost: caller(400, -32600, "Send exactly one Host header."),
  HostNotAllowed: caller(403, -32600, "Use the gateway's public URL, or add the host to gateway.allowed_hosts."),
  OriginNotAllowed: caller(403, -32600, "Add the page's origin to gateway.allowed_origins."),
  RouteNotFound: caller(404, -32600, "MCP endpoints are /mcp/{target}; the REST API is under /api."),
  MethodNotAllowed: caller(405, -32600, "Use one of the methods in the Allow header."),
  Unauthenticated: caller(401, -32001, "Send a valid token: 'Authorization: Bearer <token>'."),
  Forbidden: caller(403, -32002, "Ask an administrator for the permission that the message names."),
  // the body
  BodyTooLarge: caller(413, -32600, "Send a smaller body, or raise gateway.max_body."),
  BodiesTooLarge: caller(
    503,
    -32011,
    "Too many bytes of request bodies are held at once (gateway.max_held): try again later, with fewer or smaller bodies.",
    true,
  ),
  UnsupportedMediaType: caller(415, -32600, "Send 'Content-Type: application/json' and no Content-Encoding."),
  NotAcceptable: caller(406, -32600, "Send 'Accept: application/json, text/event-stream'."),
  MalformedJson: caller(400, -32700, "Send one JSON-RPC message as UTF-8 JSON."),
  InvalidRequest: caller(400, -32600, "Send a message that the MCP specification allows here."),
  InvalidParams: caller(400, -32602, "Correct the named parameter."),
  HeaderMismatch: caller(400, -32020, "Make the Mcp-* headers equal to the body."),
  UnknownTool: caller(200, -32602, "Call a tool that tools/list shows."),
  // the target and its instance
  TargetNotFound: caller(404, -32003, "Check the target's name, and that you may use it."),
  TargetPaused: caller(503, -32011, "Ask an administrator to resume the target.", true),
  SubjectKeyDenied: caller(403, -32004, "Your identity lacks the claim that this target needs; ask an administrator."),
  SessionNotFound: caller(404, -32005, "The session is over: send a new initialize request."),
  InstanceNotFound: caller(404, -32006, "Check the instance's name, and that it is yours."),
  InstanceFailed: caller(502, -32010, "See reason and log in the error's data; correct the target or its credentials."),
  InstanceStarting: caller(503, -32011, "The server is still starting: send the request again.", true),
  CapacityExceeded: caller(429, -32012, "All instances are in use: try again later, or raise max_instances.", true),
  QuotaExceeded: caller(
    429,
    -32012,
    "A ResourceQuota of the namespace is used up: try again later, or ask an administrator to raise it.",
    true,
  ),
  TooManyWaiting: caller(503, -32011, "Too many requests wait for this server: try again later.", true),
  CredentialMissing: caller(502, -32013, "Set the named credential, then send the request again."),
  NameConflict: caller(
    502,
    -32010,
    "An object with the instance's name belongs to another owner: remove or rename that object.",
  ),
  UpstreamUnreachable: caller(502, -32014, "The server could not be reached: send the request again.", true),
  UpstreamInterrupted: caller(
    502,
    -32014,
    "The server may have carried out the request: check its effect before you send it again.",
  ),
  UpstreamTimeout: caller(504, -32015, "The server did not answer within the target's request timeout."),
  UpstreamUnauthorized: caller(502, -32014, "The server refused the gateway (401): check the target's credentials."),
  UpstreamBusy: caller(503, -32011, "Try again later.", true),
  UpstreamInvalid: caller(502, -32014, "The server's answer could not be read."),
  AddressNotAllowed: caller(502, -32014, "Use a public https URL, or ask for an exception (remote.allow_hosts)."),
  UpstreamLoginRejected: caller(502, -32013, "Set the named credential anew."),
  UpstreamUntrusted: caller(502, -32014, "Correct remote.url or remote.caSecret."),
  // a server that speaks stdin and stdout, behind the bridge
  ServerProcessEnded: caller(
    502,
    -32603,
    "See exit_code and log in the error's data; correct the command, its arguments or its credentials.",
  ),
  ProcessesExhausted: caller(
    503,
    -32011,
    "All processes of the server are in use: end other sessions, try again later, or raise max_processes.",
    true,
  ),
  TooManyCalls: caller(503, -32011, "Too many calls of the server are open: wait for their answers.", true),
  // the REST API
  ValidationFailed: caller(422, -32602, "Correct the fields that 'errors' names."),
  AlreadyExists: caller(409, -32600, "Choose another name, or change the existing object."),
  Conflict: caller(409, -32600, "The object changed meanwhile: read it again and repeat.", true),
  ManagedElsewhere: caller(
    409,
    -32600,
    "Change the named fields in the tool that manages them (e.g. kubectl or Helm), or take them over with ?force=true.",
  ),
  PreconditionRequired: caller(428, -32600, "Send If-Match with the ETag of the object that you read."),
  PreconditionFailed: caller(412, -32600, "The object changed meanwhile: read it again and repeat."),
  TooManyLogs: caller(
    503,
    -32011,
    "Too many logs are being read at once (those of servers with long credentials count for more): try again later.",
    true,
  ),
  ScopeTooNarrow: caller(422, -32602, "Use a scope that is not narrower than the target's isolation boundary."),
  // the program itself and the Kubernetes API
  ShuttingDown: caller(503, -32011, "This replica is stopping: send the request again.", true),
  Internal: operator(500, -32603, "Search the log for the request id."),
  ClusterUnavailable: operator(503, -32011, "The Kubernetes API server does not answer: check it and try again.", true),
  ApiNotFound: operator(404, -32603, "The object does not exist: check its name and namespace."),
  ApiConflict: operator(409, -32603, "The object changed meanwhile: read it again and repeat.", true),
  ApiAlreadyExists: operator(409, -32603, "An object of this name exists already."),
  ApiInvalid: operator(422, -32603, "The API server refused the object: correct the fields that it names."),
  ApiForbidden: operator(
    403,
    -32603,
    "The API server refused the call: check RBAC, Pod Security and admission webhooks.",
  ),
  ApiGone: operator(410, -32603, "The resource version or continue token is too old: list again.", true),
  ApiTooManyRequests: operator(429, -32603, "The API server is busy: slow down.", true),
  ConfigInvalid: operator(500, -32603, "Correct the configuration at the named place."),
  UsageInvalid: operator(500, -32603, "See 'reflow --help'."),
  PortInUse: operator(
    500,
    -32603,
    "Choose another port with --set gateway.listen=HOST:PORT, or end the other program.",
  ),
  StateInUse: operator(
    500,
    -32603,
    "End the other program, or give this one a folder of its own with --set dev.state_dir=FOLDER.",
  ),
  StateInvalid: operator(
    500,
    -32603,
    "Follow the message, or move the file away, or start with --fresh, which deletes the targets and values in it.",
  ),
  PlatformUnsupported: operator(500, -32603, "Use Linux or macOS for the embedded cluster."),
  LeadershipLost: operator(500, -32603, "Another replica leads now; this one exits and starts again."),
  IssuerUnavailable: operator(
    503,
    -32011,
    "The issuer's keys cannot be fetched: check the issuer, jwks_url and the network, and try again.",
    true,
  ),
  PluginFailed: operator(502, -32010, "Correct the named plugin or its configuration."),
} as const satisfies Record<string, Row>

/** A code of the table. */
export type ErrorCode = keyof typeof errorTable

/** Content of an error besides its code. No field may contain the value of a secret. */
type ErrorOptions = {
  /** One sentence for the audience: what is wrong, with the names of the objects or fields. */
  readonly detail: string
  /** Machine-readable facts for the HTTP response: in `data` of a JSON-RPC error, as extension members of RFC 9457. */
  readonly data?: Readonly<Record<string, unknown>>
  /** Seconds after which a retry makes sense (becomes Retry-After, RFC 9110 §10.2.3). */
  readonly retryAfterSeconds?: number
  /** Headers of the HTTP response, e.g. Allow or WWW-Authenticate. */
  readonly headers?: Readonly<Record<string, string>>
  /** The error that caused this one; only written to the log. */
  readonly cause?: unknown
}

/**
 * The error class of the whole program. Test for it with {@link isAppError}, never by `instanceof`: the program and a
 * plugin may each bundle a copy of this class.
 */
export class AppError extends Error {
  override readonly name = "AppError"
  readonly code: ErrorCode
  readonly data: Readonly<Record<string, unknown>> | undefined
  readonly retryAfterSeconds: number | undefined
  readonly headers: Readonly<Record<string, string>> | undefined

  constructor(code: ErrorCode, options: ErrorOptions) {
    super(options.detail, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.data = options.data
    this.retryAfterSeconds = options.retryAfterSeconds
    this.headers = options.headers
  }
}

/** True if `value` is an {@link AppError}, of this or another copy of the module. */
export const isAppError = (value: unknown): value is AppError =>
  value instanceof Error && value.name === "AppError" && Object.hasOwn(errorTable, (value as AppError).code)

/** True if `value` is an {@link AppError} with one of `codes`. */
export const hasCode = (value: unknown, ...codes: readonly ErrorCode[]): value is AppError =>
  isAppError(value) && codes.includes(value.code)

/**
 * `value` if it is an AppError, else an `Internal` error that hides the text from the caller and has `value` as cause.
 */
export const toAppError = (value: unknown): AppError =>
  isAppError(value)
    ? value
    : new AppError("Internal", { detail: "Something went wrong inside the gateway.", cause: value })

/** Code of an error of the operating system, e.g. `ENOENT` (errno, Node's `error.code`); empty for every other value. */
export const systemCode = (value: unknown): string =>
  value instanceof Error && "code" in value ? String(value.code) : ""

/** True for the error of an aborted AbortSignal: the work was stopped and did not fail. */
export const isAbort = (value: unknown): boolean => value instanceof Error && value.name === "AbortError"
