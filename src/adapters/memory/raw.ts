import type { Kind, KubeObject } from "../../api/kind.ts"

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
