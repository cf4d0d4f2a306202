import type { Kind, KubeObject, ObjectMeta } from "./kind.ts"

/** Kubernetes' own Service, as far as we read or write it (core/v1). */
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
