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

/** The metadata that this program uses (Kubernetes ObjectMeta). Times are RFC 3339 strings. */
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

/** The fields that every object of the cluster has. */
export type KubeObject = {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: ObjectMeta
}

/**
 * A rule that a schema cannot express. `cel` goes into the CRD (x-kubernetes-validations at `path`). `holds` is the
 * same rule in TypeScript, so that the embedded cluster refuses the same objects as the API server. A rule whose CEL
 * contains `oldSelf` is a transition rule: it is checked on updates only.
 */
export type Rule = {
  /** Dotted path from the root, e.g. `spec.idleTTL`; `""` is the root itself. An absent value is not checked. */
  readonly path: string
  /** Name of the field below `path` that is at fault, e.g. `port`; absent = the value at `path` itself. */
  readonly field?: string
  /** True: the field is missing, and not wrong. */
  readonly isMissing?: true
  /** The rule in the Common Expression Language. */
  readonly cel: string
  /** The API server's message when the rule is broken. */
  readonly message: string
  // biome-ignore lint/suspicious/noExplicitAny: the value's type depends on the path; the schema has checked it before
  readonly holds: (self: any, oldSelf?: any) => boolean
}

/** A column of `kubectl get`. */
type PrinterColumn = {
  readonly name: string
  readonly type: "string" | "integer" | "date"
  readonly jsonPath: string
  readonly description?: string
  /** 0 = always shown, 1 = with `-o wide`. */
  readonly priority?: 0 | 1
}

/** Describes a kind to the cluster port; the type parameter is for inference only. */
export type Kind<T extends KubeObject> = {
  /** e.g. `mcp.reflow.io/v1alpha1`; `v1` for the core group. */
  readonly apiVersion: string
  readonly kind: string
  readonly plural: string
  /** True if `status` is a subresource: create and patches ignore `status`, and patchStatus writes only `status`. */
  readonly statusSubresource: boolean
  /** Checks and defaults the whole object. Absent for Kubernetes' own kinds, which the API server checks. */
  readonly schema?: z.ZodType
  readonly rules?: readonly Rule[]
  /** Parts of the CRD besides the schema. Absent for Kubernetes' own kinds. */
  readonly crd?: {
    readonly singular: string
    readonly shortNames: readonly string[]
    readonly categories: readonly string[]
    readonly description: string
    /** JSON paths usable in field selectors, e.g. `.spec.targetName`. */
    readonly selectableFields: readonly string[]
    readonly columns: readonly PrinterColumn[]
  }
  /**
   * Makes the object that is kept of one that the API server sent. Pure and idempotent; gets the object without
   * `managedFields`, which has the kind's full type, of which T may be a part. Absent = the whole object is kept.
   */
  readonly keep?: (sent: never) => T
  /** Never set: carries the object's type. */
  readonly __type?: T
}

/** API group of MCPTarget and MCPInstance. */
export const apiGroup = "mcp.reflow.io"
/** Group and version of MCPTarget and MCPInstance. */
export const apiVersion = `${apiGroup}/v1alpha1`

/** Checks the parts of the metadata that this program reads; the rest passes through. */
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

/** One condition of a status (Kubernetes API conventions, "Typical status properties"). */
export const Condition = z
  .object({
    type: z.string().max(64).describe("What the condition is about, in CamelCase."),
    status: z.enum(["True", "False", "Unknown"]).describe("True, False or Unknown."),
    reason: z.string().max(64).describe("Why, in one CamelCase word; docs/operate.md explains each."),
    message: z.string().max(1024).describe("What a person needs to know, and what to do."),
    observedGeneration: z.int().optional().describe("The metadata.generation this condition was computed from."),
    lastTransitionTime: z.string().max(64).describe("When status last changed (RFC 3339)."),
  })
  .describe("One aspect of the object's state.")
export type Condition = z.infer<typeof Condition>

/** The condition of a type; undefined if there is none. */
export const findCondition = (conditions: readonly Condition[] | undefined, type: string): Condition | undefined =>
  conditions?.find((condition) => condition.type === type)

/** True if the condition of this type has status True. */
export const isTrue = (conditions: readonly Condition[] | undefined, type: string): boolean =>
  findCondition(conditions, type)?.status === "True"

/**
 * `conditions` with `next` in place of the condition of its type, or at the end. lastTransitionTime becomes `now` only
 * if the status changes, so equal input gives an equal result and causes no write.
 */
export const withCondition = (
  conditions: readonly Condition[],
  next: Omit<Condition, "lastTransitionTime">,
  now: string,
): Condition[] => {
  const before = findCondition(conditions, next.type)
  const lastTransitionTime = before?.status === next.status ? before.lastTransitionTime : now
  const condition: Condition = { ...next, lastTransitionTime }
  return before === undefined
    ? [...conditions, condition]
    : conditions.map((each) => (each.type === next.type ? condition : each))
}

/** A time as Kubernetes writes it: RFC 3339 in whole seconds, UTC. `ms` counts from the Unix epoch. */
export const toKubeTime = (ms: number): string => new Date(ms).toISOString().replace(/\.\d+Z$/, "Z")

/** The value of an object's annotation; undefined if there is none of this name. */
export const annotationOf = ({ metadata }: KubeObject, name: string): string | undefined => metadata.annotations?.[name]
