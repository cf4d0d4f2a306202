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

/** Kubernetes' own ConfigMap (core/v1). */
export type ConfigMap = KubeObject & {
  readonly metadata: ObjectMeta
  readonly immutable?: boolean
  readonly data?: Readonly<Record<string, string>>
}

/** Describes ConfigMap to the cluster port. */
export const configMapKind: Kind<ConfigMap> = {
  apiVersion: "v1",
  kind: "ConfigMap",
  plural: "configmaps",
  statusSubresource: false,
}

/** Values as a Secret's `data`. */
export const toSecretData = (values: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Buffer.from(value).toString("base64")]))

/** The values of a Secret's `data`. */
export const fromSecretData = (data: Secret["data"]): Record<string, string> =>
  Object.fromEntries(Object.entries(data ?? {}).map(([name, value]) => [name, Buffer.from(value, "base64").toString()]))

/** Names in a Secret's `data` whose bytes are not valid UTF-8: {@link fromSecretData} replaces such bytes by U+FFFD. */
export const garbledNames = (data: Secret["data"]): string[] =>
  Object.entries(data ?? {})
    .filter(([, value]) => !isUtf8(Buffer.from(value, "base64")))
    .map(([name]) => name)

/** The fields of Kubernetes' own Service that this program reads or writes (core/v1). */
export type Service = KubeObject & {
  readonly metadata: ObjectMeta
  readonly spec: {
    readonly type?: "ClusterIP"
    readonly clusterIP?: string
    readonly selector?: Readonly<Record<string, string>>
    readonly ports?: readonly {
      readonly name?: string
      readonly port: number
      readonly targetPort?: number | string
      readonly protocol?: string
    }[]
  }
}

/** Describes Service to the cluster port. */
export const serviceKind: Kind<Service> = {
  apiVersion: "v1",
  kind: "Service",
  plural: "services",
  statusSubresource: true,
}

/** Kubernetes' own Lease (coordination.k8s.io/v1), for leader election. Times are RFC 3339 with microseconds. */
export type Lease = KubeObject & {
  readonly metadata: ObjectMeta
  readonly spec?: {
    readonly holderIdentity?: string
    readonly leaseDurationSeconds?: number
    readonly acquireTime?: string
    readonly renewTime?: string
    readonly leaseTransitions?: number
  }
}

/** Describes Lease to the cluster port. */
export const leaseKind: Kind<Lease> = {
  apiVersion: "coordination.k8s.io/v1",
  kind: "Lease",
  plural: "leases",
  statusSubresource: false,
}

/** Kubernetes' own Event (core/v1), as `kubectl describe` shows it. */
export type Event = KubeObject & {
  readonly metadata: ObjectMeta
  readonly involvedObject: {
    readonly apiVersion?: string
    readonly kind?: string
    readonly namespace?: string
    readonly name?: string
    readonly uid?: string
  }
  readonly type?: string
  readonly reason?: string
  readonly message?: string
  readonly count?: number
  readonly firstTimestamp?: string
  readonly lastTimestamp?: string
  readonly source?: { readonly component?: string }
}

/** Describes Event to the cluster port. */
export const eventKind: Kind<Event> = { apiVersion: "v1", kind: "Event", plural: "events", statusSubresource: false }
