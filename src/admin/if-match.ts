import type { KubeObject } from "../api/kind.ts"
import { AppError } from "../errors.ts"

/** The entity tag of an object: its generation, which writes of the status do not raise. */
export const etagOf = ({ metadata: { generation } }: KubeObject): string | undefined =>
  generation === undefined ? undefined : `"${generation}"`

/** Throws `PreconditionRequired` if the request does not say which version it means. */
export const requireIfMatch = (headers: Headers): void => {
  if (headers.has("if-match")) return
  throw new AppError("PreconditionRequired", {
    detail: "Say which version is replaced: send If-Match with the ETag of a GET, or * for whichever there is.",
  })
}

/**
 * Throws `PreconditionFailed` unless If-Match (RFC 9110 §13.1.1), if the request has one, names the object's version.
 * Tags are compared strongly: a weak one matches nothing.
 */
export const ensureMatch = (headers: Headers, object: KubeObject): void => {
  const given = headers.get("if-match")
  if (given === null || given.trim() === "*") return
  const etag = etagOf(object)
  if (etag !== undefined && given.split(",").some((tag) => tag.trim() === etag)) return
  throw new AppError("PreconditionFailed", {
    detail: `${object.metadata.name} is another version than If-Match names.`,
    headers: etag === undefined ? {} : { etag },
  })
}
