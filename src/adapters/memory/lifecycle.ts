import { isDeepStrictEqual } from "node:util"
import { type Fields, isFields } from "../../api/patch.ts"
import { type AnyKind, type Raw, toTime } from "./raw.ts"

/** Values that the server sets on a new object; `now` is milliseconds since the epoch. */
type Stamp = { readonly uid: string; readonly now: number }

const fieldsOf = (value: unknown): Fields => (isFields(value) ? value : {})

const isPod = (kind: AnyKind): boolean => kind.apiVersion === "v1" && kind.kind === "Pod"

/** Undefined members are dropped, so that equal objects compare equal. */
const dropUndefined = <T extends Fields>(fields: T): T =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T

/** `object` with the defaults that Kubernetes sets for its own kinds. */
const withDefaults = (kind: AnyKind, object: Raw): Raw => {
  if (isPod(kind)) return object.status === undefined ? { ...object, status: { phase: "Pending" } } : object
  if (kind.apiVersion !== "v1") return object
  if (kind.kind === "Secret") return { ...object, type: object.type ?? "Opaque" }
  if (kind.kind !== "Service") return object
  return { ...object, spec: { type: "ClusterIP", clusterIP: "127.0.0.1", ...fieldsOf(object.spec) } }
}

/** A new object with uid, creationTimestamp and generation set; its status is dropped if that is a subresource. */
export const toCreated = (kind: AnyKind, given: Raw, { uid, now }: Stamp): Raw => {
  const { status, ...rest } = given
  const { deletionTimestamp: _, deletionGracePeriodSeconds: __, resourceVersion: ___, ...metadata } = given.metadata
  const generation = kind.statusSubresource ? { generation: 1 } : {}
  const created: Raw = {
    ...rest,
    metadata: { ...metadata, uid, creationTimestamp: toTime(now), ...generation },
    ...(kind.statusSubresource || status === undefined ? {} : { status }),
  }
  return withDefaults(kind, created)
}

/** The part of an object whose change raises the generation: all fields but metadata and status. */
const desired = ({ metadata: _, status: __, ...rest }: Raw): Fields => rest

/**
 * `next` with the metadata of `old` that only the server sets, and with the status of `old` if that is a subresource.
 */
export const toUpdated = (kind: AnyKind, old: Raw, next: Raw): Raw => {
  const { status, ...rest } = withDefaults(kind, next)
  const { uid, generation, deletionTimestamp, deletionGracePeriodSeconds, resourceVersion } = old.metadata
  const kept = { uid, generation, deletionTimestamp, deletionGracePeriodSeconds, resourceVersion }
  const creationTimestamp = next.metadata.creationTimestamp ?? old.metadata.creationTimestamp
  return dropUndefined({
    ...rest,
    metadata: dropUndefined({ ...next.metadata, ...kept, creationTimestamp }),
    status: kind.statusSubresource ? old.status : status,
  }) as Raw
}

/** `updated` with its generation one higher if its {@link desired} part differs from that of `old`. */
export const withGeneration = (old: Raw, updated: Raw): Raw => {
  const { generation } = old.metadata
  if (generation === undefined || isDeepStrictEqual(desired(old), desired(updated))) return updated
  return { ...updated, metadata: { ...updated.metadata, generation: generation + 1 } }
}

/** Grace period of a deletion, seconds. 0 except for a Pod on a node, which the node deletes again with 0. */
export const graceOf = (kind: AnyKind, object: Raw, asked: number | undefined): number => {
  const spec = fieldsOf(object.spec)
  const { phase } = fieldsOf(object.status)
  if (!isPod(kind) || spec.nodeName === undefined || phase === "Succeeded" || phase === "Failed") return 0
  return asked ?? Number(spec.terminationGracePeriodSeconds ?? 30)
}

/**
 * `object` marked for deletion in `grace` seconds; undefined if it is marked already with the same or a shorter time.
 */
export const toTerminating = (object: Raw, grace: number, now: number): Raw | undefined => {
  const { deletionTimestamp, deletionGracePeriodSeconds, generation } = object.metadata
  if (deletionTimestamp !== undefined && grace >= (deletionGracePeriodSeconds ?? 0)) return undefined
  const mark = {
    deletionTimestamp: toTime(now + grace * 1000),
    deletionGracePeriodSeconds: grace,
    ...(generation === undefined || deletionTimestamp !== undefined ? {} : { generation: generation + 1 }),
  }
  return { ...object, metadata: { ...object.metadata, ...mark } }
}

const hasFinalizers = ({ metadata }: Raw): boolean => (metadata.finalizers?.length ?? 0) > 0

/** True if the object can be removed: it is marked for deletion with grace 0 and has no finalizers. */
export const isFinished = (object: Raw): boolean =>
  object.metadata.deletionTimestamp !== undefined &&
  (object.metadata.deletionGracePeriodSeconds ?? 0) === 0 &&
  !hasFinalizers(object)

/** True if a delete with `grace` seconds removes the object at once. */
export const isDeletedAtOnce = (object: Raw, grace: number): boolean => grace === 0 && !hasFinalizers(object)
