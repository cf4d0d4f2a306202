import { AppError, type ErrorCode } from "../../errors.ts"

/**
 * What may be repeated of the API server's words about a refused Secret. They may quote its values: a webhook or a policy
 * says whatever it likes, a schema error repeats the value. So nothing is repeated but sentences of Kubernetes' own that
 * are known from end to end, and of the others the names in front. Each test looks at a text once.
 */

/** Names of Kubernetes objects and resources, lists of `resource=amount`; nothing that a value could hide in. */
const isPlain = (text: string): boolean => /^[A-Za-z0-9./=,-]{1,512}$/.test(text)

/**
 * Which quota has no room, what was requested, used and limited, as the API server's quota says it of any kind of object
 * (`exceeded quota: NAME, requested: …, used: …, limited: …`, Kubernetes' resourcequota admission). Undefined for all else.
 */
export const quotaWords = (message: string): string | undefined => {
  const refused = /^[a-z0-9.-]{1,253} "[^"]{0,253}" is forbidden: (?=exceeded quota: )/.exec(message)
  if (refused === null) return undefined
  const words = message.slice(refused[0].length)
  const parts = words.split(", ", 5)
  const names = ["exceeded quota: ", "requested: ", "used: ", "limited: "]
  const isKnown = ([name, part]: readonly [string, string | undefined]) =>
    part?.startsWith(name) === true && isPlain(part.slice(name.length))
  return parts.length === names.length && names.every((name, index) => isKnown([name, parts[index]]))
    ? words
    : undefined
}

/** Sentences that hold nothing but names, as a whole. */
const whole: readonly RegExp[] = [
  // RBAC
  /^secrets(?: "[a-z0-9.-]{1,253}")? is forbidden: User "[A-Za-z0-9:._@-]{1,253}" cannot [a-z]{1,16} resource "secrets" in API group "" in the namespace "[a-z0-9-]{1,63}"/,
  /^secrets "[a-z0-9.-]{1,253}" is forbidden: unable to create new content in namespace [a-z0-9-]{1,63} because it is being terminated/,
  /^namespaces "[a-z0-9-]{1,63}" not found/,
]

/** Beginnings that name who refused; what stands behind them is their own. */
const beginnings: readonly RegExp[] = [
  /^admission webhook "[a-z0-9.-]{1,253}" denied the request/,
  /^Internal error occurred: failed calling webhook "[a-z0-9.-]{1,253}"/,
  /^secrets "[a-z0-9.-]{1,253}" is forbidden: ValidatingAdmissionPolicy '[a-z0-9.-]{1,253}' with binding '[a-z0-9.-]{1,253}' denied request/,
]

/** What is safe of a message about a Secret; undefined if nothing is. */
export const safeWords = (message: string): string | undefined => {
  const quota = quotaWords(message)
  if (quota !== undefined) return quota
  for (const sentence of [...whole, ...beginnings]) {
    const said = sentence.exec(message)?.[0]
    if (said !== undefined) return said
  }
  return undefined
}

/** The API server's answer to a refused call (Kubernetes Status), as far as it is read. */
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
  /** Verb and object, for the message. */
  readonly what: string
  /** True if the server's words may quote a secret value. */
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
 * True of a refusal by an admission webhook or a ValidatingAdmissionPolicy, in Kubernetes' own words before theirs. They choose
 * the status: 400 if a webhook names none, 422 if a policy names none, 403 of most, and webhooks may say 404, 409 or 500 too.
 */
const isDenial = (message: string): boolean =>
  /^admission webhook "[^"]{1,253}" denied the request/.test(message) ||
  /^[a-z0-9.-]{1,253} "[^"]{0,253}" is forbidden: ValidatingAdmissionPolicy '/.test(message)

const codeOf = (status: number, { reason, message = "", details }: Status): ErrorCode => {
  if (isDenial(message)) return "ApiForbidden"
  if (reason === "AlreadyExists") return "ApiAlreadyExists"
  // what a patch says of the uid is a precondition, for our callers; the API server calls it an invalid change
  if (status === 422 && details?.causes?.some(({ field }) => field === "metadata.uid")) return "ApiConflict"
  if (status === 403 && quotaWords(message) !== undefined) return "QuotaExceeded"
  // server-side apply answers 500 to a value of the wrong type, and gives nothing but this text to know it by
  if (status === 500 && message.startsWith("failed to create typed patch object")) return "ApiInvalid"
  return codes[status] ?? (status >= 400 && status < 500 ? "ApiInvalid" : "ClusterUnavailable")
}

/** True if the object is not there; false if the API server knows no such path, e.g. because a CRD is missing. */
export const isAbsence = (error: AppError): boolean => error.code === "ApiNotFound" && error.data?.reason === "NotFound"

/**
 * The error for a refused call. The server's own words are repeated, since they say which field or rule it was; of those
 * about Secrets, whose values they may quote, only what safeWords knows. `data` has `status` and Kubernetes' `reason`,
 * maybe empty.
 */
export const toApiError = ({ status, body, what, isSecret, retryAfterSeconds }: Refusal): AppError => {
  const parsed = parse(body)
  const code = codeOf(status, parsed)
  const unknown = code === "ApiNotFound" && parsed.reason === undefined
  const words = isSecret ? safeWords(parsed.message ?? "") : parsed.message
  const said = unknown ? "the API server does not know this kind of object; are the CRDs installed?" : words
  const after = parsed.details?.retryAfterSeconds ?? retryAfterSeconds
  return new AppError(code, {
    detail: `${what}: ${said ?? `${status} ${parsed.reason ?? ""}`.trim()}`.slice(0, 1024),
    data: { status, reason: parsed.reason ?? "" },
    ...(after === undefined ? {} : { retryAfterSeconds: after }),
  })
}
