import type { Kind, KubeObject } from "../../api/kinds/kind.ts"
import { AppError } from "../../errors.ts"
import type { ObjectRef } from "../../ports/cluster.ts"

/** A kind whose objects' type nobody needs to know here. */
export type AnyKind = Kind<KubeObject>

/** A JSON object whose fields are not known. */
export type Fields = Readonly<Record<string, unknown>>

/** An object as the wire carries it: any field may be there. */
export type Raw = KubeObject & Fields

/** True for JSON objects: no arrays, no null. */
export const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** A copy of `value` as JSON carries it: shares nothing with the caller, undefined fields are gone. */
export const toRaw = (value: KubeObject): Raw => JSON.parse(JSON.stringify(value)) as Raw

/** The stored object as the type that its kind says; the schema has checked it. */
export const typed = <T extends KubeObject>(_kind: Kind<T>, raw: Raw): T => raw as unknown as T

/** What tells kinds apart. */
export const kindKey = (kind: { readonly apiVersion: string; readonly kind: string }): string =>
  `${kind.apiVersion}/${kind.kind}`

/** Milliseconds since the epoch as Kubernetes writes times: RFC 3339 to the second. */
export const toTime = (ms: number): string => new Date(ms).toISOString().replace(/\.\d{3}Z$/, "Z")

/** What is wrong with a field. Never quotes the value: it may be secret. */
export type Problem = { readonly path: string; readonly message: string }

const maxTold = 8

/** The refusal of an object, as the API server words it: which field, and why. */
export const invalid = (kind: AnyKind, name: string, problems: readonly Problem[]): AppError => {
  const told = problems.slice(0, maxTold).map(({ path, message }) => `${path || kind.kind}: ${message}`)
  return new AppError("ApiInvalid", {
    detail: `${kind.kind} "${name}" is invalid: ${told.join("; ")}`,
    data: { errors: problems.slice(0, maxTold) },
  })
}

export const notFound = (kind: AnyKind, { name }: ObjectRef): AppError =>
  new AppError("ApiNotFound", { detail: `${kind.plural} "${name}" not found` })

export const conflict = (kind: AnyKind, { name }: ObjectRef, why: string): AppError =>
  new AppError("ApiConflict", { detail: `${kind.plural} "${name}" was not changed: ${why}` })

export const alreadyExists = (kind: AnyKind, name: string): AppError =>
  new AppError("ApiAlreadyExists", { detail: `${kind.plural} "${name}" already exists` })
