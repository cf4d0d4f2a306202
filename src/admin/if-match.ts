import type { KubeObject } from "../api/kinds/kind.ts"
import { AppError } from "../errors.ts"

/** The entity tag of an object: its generation, which a write of the status does not change. */
export const etagOf = ({ metadata: { generation } }: KubeObject): string | undefined =>
  generation === undefined ? undefined : `"${generation}"`

/** Throws `PreconditionRequired` if the request has no If-Match. */
export const requireIfMatch = (headers: Headers): void => {
  if (headers.has("if-match")) return
  throw new AppError("PreconditionRequired", {
    detail: "Name the version to replace: send If-Match with the ETag of a GET, or with * for any version.",
  })
}

/**
 * Throws `PreconditionFailed` unless If-Match (RFC 9110 §13.1.1), if the request has one, names the object's version.
 * Tags are compared strongly: a weak one matches nothing.
 */
const ensureMatch = (headers: Headers, object: KubeObject): void => {
  const given = headers.get("if-match")
  if (given === null || given.trim() === "*") return
  const etag = etagOf(object)
  if (etag !== undefined && given.split(",").some((tag) => tag.trim() === etag)) return
  throw new AppError("PreconditionFailed", {
    detail: `${object.metadata.name} is another version than If-Match names.`,
    headers: etag === undefined ? {} : { etag },
  })
}

/** A tag without the prefix W/ of weak tags, since If-None-Match compares weakly. */
const opaque = (tag: string): string => tag.trim().replace(/^W\//, "")

/**
 * Throws `PreconditionFailed` if the request has an If-None-Match (RFC 9110 §13.1.2) that names the object's version,
 * or that is `*`, since the object exists.
 */
export const ensureNoneMatch = (headers: Headers, object: KubeObject): void => {
  const given = headers.get("if-none-match")
  if (given === null) return
  const etag = etagOf(object)
  if (given.trim() !== "*" && !given.split(",").some((tag) => opaque(tag) === etag)) return
  throw new AppError("PreconditionFailed", {
    detail: `${object.metadata.name} exists, and If-None-Match asks that ${given.trim() === "*" ? "it does not" : "it is another version"}.`,
    headers: etag === undefined ? {} : { etag },
  })
}

/** Checks If-Match, then If-None-Match (RFC 9110 §13.2.2). Throws `PreconditionFailed`. */
export const ensurePreconditions = (headers: Headers, object: KubeObject): void => {
  ensureMatch(headers, object)
  ensureNoneMatch(headers, object)
}

/** Throws `PreconditionFailed` if the request has If-Match or If-None-Match for a resource that has no ETag. */
export const refuseVersions = (headers: Headers, what: string): void => {
  for (const name of ["If-Match", "If-None-Match"])
    if (headers.has(name))
      throw new AppError("PreconditionFailed", { detail: `${what} have no versions: send the call without ${name}.` })
}
