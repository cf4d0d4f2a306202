import type { Kind, KubeObject, ObjectMeta } from "./kind.ts"

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
