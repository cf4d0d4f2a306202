import type { Kind, KubeObject } from "../../api/kinds/kind.ts"
import { deepFreeze, type Fields } from "../../api/patch.ts"
import { AppError } from "../../errors.ts"
import type { ObjectRef } from "../../ports/cluster.ts"

/** A kind of objects whose type does not matter here. */
export type AnyKind = Kind<KubeObject>

/** An untyped object, as parsed from JSON: it may have any field. */
export type Raw = KubeObject & Fields

/** A deep copy of `value` through JSON: shares nothing with the caller, has no undefined fields. */
export const toRaw = (value: KubeObject): Raw => JSON.parse(JSON.stringify(value)) as Raw

/** The stored object with the type of its kind, which the schema has checked; only what the kind keeps of it. */
export const typed = <T extends KubeObject>(kind: Kind<T>, raw: Raw): T =>
  kind.keep === undefined ? (raw as unknown as T) : deepFreeze(kind.keep(raw as never))

/** Identifies a kind: apiVersion and name. */
export const kindKey = (kind: { readonly apiVersion: string; readonly kind: string }): string =>
  `${kind.apiVersion}/${kind.kind}`

/** Milliseconds since the epoch as Kubernetes writes times: RFC 3339 to the second. */
export const toTime = (ms: number): string => new Date(ms).toISOString().replace(/\.\d{3}Z$/, "Z")

/** A problem with a field. The message never quotes the value, which may be secret. */
export type Problem = { readonly path: string; readonly message: string }

const maxReported = 8

/** `ApiInvalid` in the form of the API server's message: each field with its problem, at most {@link maxReported}. */
export const invalid = (kind: AnyKind, name: string, problems: readonly Problem[]): AppError => {
  const reported = problems.slice(0, maxReported).map(({ path, message }) => `${path || kind.kind}: ${message}`)
  return new AppError("ApiInvalid", {
    detail: `${kind.kind} "${name}" is invalid: ${reported.join("; ")}`,
    data: { errors: problems.slice(0, maxReported) },
  })
}

export const notFound = (kind: AnyKind, { name }: ObjectRef): AppError =>
  new AppError("ApiNotFound", { detail: `${kind.plural} "${name}" not found` })

export const conflict = (kind: AnyKind, { name }: ObjectRef, why: string): AppError =>
  new AppError("ApiConflict", { detail: `${kind.plural} "${name}" was not changed: ${why}` })

export const alreadyExists = (kind: AnyKind, name: string): AppError =>
  new AppError("ApiAlreadyExists", { detail: `${kind.plural} "${name}" already exists` })
