import { isUtf8 } from "node:buffer"
import type { Kind, KubeObject, ObjectMeta } from "./kind.ts"

/** Kubernetes' own Secret (core/v1). */
export type Secret = KubeObject & {
  readonly metadata: ObjectMeta
  readonly type?: string
  readonly immutable?: boolean
  /** Values in base64. */
  readonly data?: Readonly<Record<string, string>>
}

/** Describes Secret to the cluster port. */
export const secretKind: Kind<Secret> = {
  apiVersion: "v1",
  kind: "Secret",
  plural: "secrets",
  statusSubresource: false,
}

/** Values as a Secret's `data`. */
export const toSecretData = (values: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Buffer.from(value).toString("base64")]))

/** The values of a Secret's `data`. */
export const fromSecretData = (data: Secret["data"]): Record<string, string> =>
  Object.fromEntries(Object.entries(data ?? {}).map(([name, value]) => [name, Buffer.from(value, "base64").toString()]))

/** Names of a Secret's `data` whose bytes are no UTF-8: {@link fromSecretData} gives another text for them. */
export const garbledNames = (data: Secret["data"]): string[] =>
  Object.entries(data ?? {})
    .filter(([, value]) => !isUtf8(Buffer.from(value, "base64")))
    .map(([name]) => name)
