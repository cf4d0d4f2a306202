import { AppError, type ErrorCode } from "../../errors.ts"

/**
 * Which parts of the API server's message about a refused Secret may be shown. The message may quote the Secret's
 * values: a webhook or a policy chooses its own text, and a schema error repeats the value. So only known messages of
 * Kubernetes itself are shown whole; of the messages of webhooks and policies, only the part with their name. Each
 * expression takes time linear in the text.
 */

/** True for names of Kubernetes objects and resources and lists of `resource=amount`. */
const isPlain = (text: string): boolean => /^[A-Za-z0-9./=,-]{1,512}$/.test(text)

/**
 * The message of an exceeded quota, for any kind of object: `exceeded quota: NAME, requested: …, used: …, limited: …`
 * (Kubernetes' resourcequota admission). Undefined for all other messages.
 */
export const quotaMessage = (message: string): string | undefined => {
  const refused = /^[a-z0-9.-]{1,253} "[^"]{0,253}" is forbidden: (?=exceeded quota: )/.exec(message)
  if (refused === null) return undefined
  const text = message.slice(refused[0].length)
  const parts = text.split(", ", 5)
  const names = ["exceeded quota: ", "requested: ", "used: ", "limited: "]
  const isKnown = ([name, part]: readonly [string, string | undefined]) =>
    part?.startsWith(name) === true && isPlain(part.slice(name.length))
  return parts.length === names.length && names.every((name, index) => isKnown([name, parts[index]])) ? text : undefined
}

/** Messages that contain only names, so they can be shown whole. */
const whole: readonly RegExp[] = [
  // RBAC
  /^secrets(?: "[a-z0-9.-]{1,253}")? is forbidden: User "[A-Za-z0-9:._@-]{1,253}" cannot [a-z]{1,16} resource "secrets" in API group "" in the namespace "[a-z0-9-]{1,63}"/,
  /^secrets "[a-z0-9.-]{1,253}" is forbidden: unable to create new content in namespace [a-z0-9-]{1,63} because it is being terminated/,
  /^namespaces "[a-z0-9-]{1,63}" not found/,
]

/** Beginnings that name the webhook or policy; the text after them is chosen by it and is not shown. */
const beginnings: readonly RegExp[] = [
  /^admission webhook "[a-z0-9.-]{1,253}" denied the request/,
  /^Internal error occurred: failed calling webhook "[a-z0-9.-]{1,253}"/,
  /^secrets "[a-z0-9.-]{1,253}" is forbidden: ValidatingAdmissionPolicy '[a-z0-9.-]{1,253}' with binding '[a-z0-9.-]{1,253}' denied request/,
]

/** The part of a message about a Secret that is safe to show; undefined if there is none. */
export const safeMessage = (message: string): string | undefined => {
  const quota = quotaMessage(message)
  if (quota !== undefined) return quota
  for (const sentence of [...whole, ...beginnings]) {
    const said = sentence.exec(message)?.[0]
    if (said !== undefined) return said
  }
  return undefined
}

/** The fields that are read here of the API server's answer to a refused call (Kubernetes Status). */
type Status = {
  readonly reason?: string
  readonly message?: string
  readonly details?: {
    readonly retryAfterSeconds?: number
    readonly causes?: readonly { readonly field?: string }[]
  }
}

/** A refused call. */
type Refusal = {
  /** HTTP status of the answer. */
  readonly status: number
  readonly body: string
  /** Verb and object, for the error's message. */
  readonly what: string
  /** True if the API server's message may quote a secret value. */
  readonly isSecret: boolean
  /** Seconds of the answer's Retry-After header. */
  readonly retryAfterSeconds?: number
}

const codes: Readonly<Record<number, ErrorCode>> = {
  401: "ApiForbidden",
  403: "ApiForbidden",
  404: "ApiNotFound",
  409: "ApiConflict",
  410: "ApiGone",
  429: "ApiTooManyRequests",
}

const parse = (body: string): Status => {
  try {
    const value: unknown = JSON.parse(body)
    return typeof value === "object" && value !== null ? value : {}
  } catch {
    return {}
  }
}

/**
 * True for a refusal by an admission webhook or a ValidatingAdmissionPolicy, recognised by Kubernetes' own beginning of
 * the message. The status does not show it: a webhook or policy chooses the status (mostly 403; 400 or 422 if it names
 * none; webhooks may also return 404, 409 or 500).
 */
const isDenial = (message: string): boolean =>
  /^admission webhook "[^"]{1,253}" denied the request/.test(message) ||
  /^[a-z0-9.-]{1,253} "[^"]{0,253}" is forbidden: ValidatingAdmissionPolicy '/.test(message)

const codeOf = (status: number, { reason, message = "", details }: Status): ErrorCode => {
  if (isDenial(message)) return "ApiForbidden"
  if (reason === "AlreadyExists") return "ApiAlreadyExists"
  // for callers, the uid in a patch is a precondition; the API server reports another uid as an invalid change
  if (status === 422 && details?.causes?.some(({ field }) => field === "metadata.uid")) return "ApiConflict"
  if (status === 403 && quotaMessage(message) !== undefined) return "QuotaExceeded"
  // server-side apply returns 500 for a value of the wrong type; only the message shows this case
  if (status === 500 && message.startsWith("failed to create typed patch object")) return "ApiInvalid"
  return codes[status] ?? (status >= 400 && status < 500 ? "ApiInvalid" : "ClusterUnavailable")
}

/**
 * True if the object does not exist; false if the API server does not serve the path, e.g. because a CRD is missing.
 */
export const isAbsence = (error: AppError): boolean => error.code === "ApiNotFound" && error.data?.reason === "NotFound"

/**
 * The error for a refused call. It has the API server's message, which names the field or rule; for Secrets, whose
 * values the message may quote, only the part that {@link safeMessage} returns. `data` has `status` and Kubernetes'
 * `reason`, which may be empty.
 */
export const toApiError = ({ status, body, what, isSecret, retryAfterSeconds }: Refusal): AppError => {
  const parsed = parse(body)
  const code = codeOf(status, parsed)
  const unknown = code === "ApiNotFound" && parsed.reason === undefined
  const safe = isSecret ? safeMessage(parsed.message ?? "") : parsed.message
  const said = unknown ? "the API server does not know this kind of object; are the CRDs installed?" : safe
  const after = parsed.details?.retryAfterSeconds ?? retryAfterSeconds
  return new AppError(code, {
    detail: `${what}: ${said ?? `${status} ${parsed.reason ?? ""}`.trim()}`.slice(0, 1024),
    data: { status, reason: parsed.reason ?? "" },
    ...(after === undefined ? {} : { retryAfterSeconds: after }),
  })
}
