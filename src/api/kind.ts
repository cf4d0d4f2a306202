import { z } from "zod"

/** An owner of an object (Kubernetes OwnerReference). */
export type OwnerReference = {
  readonly apiVersion: string
  readonly kind: string
  readonly name: string
  readonly uid: string
  readonly controller?: boolean
  readonly blockOwnerDeletion?: boolean
}

/** The metadata we use (Kubernetes ObjectMeta). Times are RFC 3339 strings. */
export type ObjectMeta = {
  readonly name: string
  readonly namespace?: string
  readonly uid?: string
  readonly resourceVersion?: string
  readonly generation?: number
  readonly creationTimestamp?: string
  readonly deletionTimestamp?: string
  readonly deletionGracePeriodSeconds?: number
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly ownerReferences?: readonly OwnerReference[]
  readonly finalizers?: readonly string[]
}

/** What every object of the cluster has. */
export type KubeObject = {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: ObjectMeta
}

/**
 * A rule that a schema cannot say. `cel` goes into the CRD (x-kubernetes-validations at `path`), `holds` says the same
 * here, so that the embedded cluster refuses what the API server refuses. A rule whose CEL names `oldSelf` is a
 * transition rule: it is checked on updates only.
 */
export type Rule = {
  /** Dotted path from the root (`""` = the root itself, `spec`, `spec.idleTTL`). Not checked where the value is absent. */
  readonly path: string
  /** The rule in the Common Expression Language. */
  readonly cel: string
  /** What a person reads when the rule is broken. */
  readonly message: string
  // biome-ignore lint/suspicious/noExplicitAny: the value's type depends on the path; the schema has checked it before
  readonly holds: (self: any, oldSelf?: any) => boolean
}

/** A column of `kubectl get`. */
export type PrinterColumn = {
  readonly name: string
  readonly type: "string" | "integer" | "date"
  readonly jsonPath: string
  readonly description?: string
  /** 0 = always shown, 1 = with `-o wide`. */
  readonly priority?: 0 | 1
}

/** Describes a kind to the cluster port; the type parameter is carried for inference only. */
export type Kind<T extends KubeObject> = {
  /** e.g. `mcp.reflow.io/v1alpha1`; `v1` for the core group. */
  readonly apiVersion: string
  readonly kind: string
  readonly plural: string
  /** True if `status` is a subresource: create and patches ignore it, patchStatus writes nothing else. */
  readonly statusSubresource: boolean
  /** Checks and defaults the whole object. Absent for Kubernetes' own kinds, which the API server checks. */
  readonly schema?: z.ZodType
  readonly rules?: readonly Rule[]
  /** Only for our own kinds: what the CRD says besides the schema. */
  readonly crd?: {
    readonly singular: string
    readonly shortNames: readonly string[]
    readonly categories: readonly string[]
    readonly description: string
    /** JSON paths usable in field selectors, e.g. `.spec.targetName`. */
    readonly selectableFields: readonly string[]
    readonly columns: readonly PrinterColumn[]
  }
  /** Never set: carries the object's type. */
  readonly __type?: T
}

/** Group and version of our kinds. */
export const apiGroup = "mcp.reflow.io"
export const apiVersion = `${apiGroup}/v1alpha1`

/** Checks the part of the metadata that we rely on; the rest passes through. */
export const metadataSchema = z.looseObject({
  name: z.string(),
  namespace: z.string().optional(),
  labels: z.record(z.string(), z.string()).optional(),
  annotations: z.record(z.string(), z.string()).optional(),
})

/** The reference by which `owner` owns another object as its controller. */
export const controllerReference = (owner: KubeObject): OwnerReference => ({
  apiVersion: owner.apiVersion,
  kind: owner.kind,
  name: owner.metadata.name,
  uid: owner.metadata.uid ?? "",
  controller: true,
  blockOwnerDeletion: true,
})

/** UID of the object's controller, if it has one. */
export const controllerUID = (object: KubeObject): string | undefined =>
  object.metadata.ownerReferences?.find((reference) => reference.controller === true)?.uid
