import { randomUUID } from "node:crypto"
import { isDeepStrictEqual } from "node:util"
import { applyMergePatch, isFields } from "../../api/patch.ts"
import type { ClockPort } from "../../ports/clock.ts"
import type { DeleteOptions, MergePatch, ObjectRef } from "../../ports/cluster.ts"
import {
  graceOf,
  isDeletedAtOnce,
  isFinished,
  toCreated,
  toTerminating,
  toUpdated,
  withGeneration,
} from "./lifecycle.ts"
import { applyFields, fromOwnable, managerKey, type Ownership, ownershipAfterWrite, toOwnable } from "./ownership.ts"
import { type AnyKind, alreadyExists, conflict, invalid, notFound, type Raw } from "./raw.ts"
import type { Store, Stored } from "./store.ts"
import { validate } from "./validate.ts"

/**
 * The write operations of an API server: each function is one request, atomic and synchronous. The caller must not keep
 * references into `given` objects. `manager` is the name of the field manager that writes. Errors as in ClusterPort.
 */
export type Server = {
  /** `dryRun`: returns the object as it would be, and stores nothing. */
  create(kind: AnyKind, given: Raw, manager: string, dryRun: boolean): Raw
  apply(kind: AnyKind, given: Raw, manager: string): Raw
  mergePatch(kind: AnyKind, ref: ObjectRef, patch: MergePatch, manager: string): Raw
  mergePatchSpec(kind: AnyKind, read: Raw, spec: MergePatch, manager: string): Raw
  patchStatus(kind: AnyKind, ref: ObjectRef, patch: MergePatch): Raw
  replace(kind: AnyKind, given: Raw, manager: string): Raw
  delete(kind: AnyKind, ref: ObjectRef, options: DeleteOptions): "deleted" | "absent"
}

const refOf = ({ metadata }: Raw): ObjectRef => ({ namespace: metadata.namespace ?? "", name: metadata.name })

type Identity = { readonly uid?: unknown; readonly resourceVersion?: unknown }

/** Throws `ApiConflict` if the stored object has another uid or resourceVersion than the given ones. */
const requireSame = (stored: Stored, { uid, resourceVersion }: Identity): void => {
  const { metadata } = stored.object
  const ref = refOf(stored.object)
  if (uid !== undefined && uid !== metadata.uid) throw conflict(stored.kind, ref, `its uid is ${metadata.uid}`)
  if (resourceVersion !== undefined && resourceVersion !== metadata.resourceVersion)
    throw conflict(stored.kind, ref, "it has been modified; read the latest version and try again")
}

/** The object with a merge patch applied. Throws `ApiInvalid` if the patch changes name or namespace. */
const patched = (kind: AnyKind, old: Raw, patch: MergePatch): Raw => {
  const next = applyMergePatch(old, JSON.parse(JSON.stringify(patch))) as Raw
  if (!isFields(next.metadata)) throw invalid(kind, old.metadata.name, [{ path: "metadata", message: "is required" }])
  if (next.metadata.name !== old.metadata.name || next.metadata.namespace !== old.metadata.namespace)
    throw invalid(kind, old.metadata.name, [{ path: "metadata.name", message: "does not match the request" }])
  return next
}

const identityIn = (patch: MergePatch): Identity => (isFields(patch.metadata) ? patch.metadata : {})

/** Makes the write operations over a store. */
export const createServer = (store: Store, clock: ClockPort): Server => {
  const existing = (kind: AnyKind, ref: ObjectRef): Stored => {
    const stored = store.find(kind, ref)
    if (stored === undefined) throw notFound(kind, ref)
    return stored
  }

  /**
   * Writes an update unless it changes nothing; removes the object if its last finalizer was removed during deletion.
   */
  const commit = (stored: Stored, next: Raw, ownership: Ownership): Raw => {
    if (isDeepStrictEqual(next, stored.object)) {
      if (ownership !== stored.ownership) store.keepOwnership({ ...stored, ownership })
      return stored.object
    }
    const written = store.put({ kind: stored.kind, object: next, ownership })
    if (isFinished(written.object)) store.remove(written)
    return written.object
  }

  const updated = (stored: Stored, next: Raw): Raw => {
    const { kind, object: old } = stored
    return withGeneration(old, validate(kind, toUpdated(kind, old, next), old))
  }

  const updateAs = (stored: Stored, next: Raw, manager: string): Raw => {
    const { kind, object: old } = stored
    const object = updated(stored, next)
    const [before, after] = [toOwnable(old, kind.statusSubresource), toOwnable(object, kind.statusSubresource)]
    return commit(stored, object, ownershipAfterWrite(stored.ownership, managerKey(manager, "Update"), before, after))
  }

  const add = (kind: AnyKind, given: Raw, manager: string, dryRun = false): Raw => {
    const object = validate(kind, toCreated(kind, given, { uid: randomUUID(), now: clock.now() }))
    if (dryRun) return object
    const fields = toOwnable(given, kind.statusSubresource)
    return store.put({ kind, object, ownership: ownershipAfterWrite(new Map(), manager, {}, fields) }).object
  }

  return {
    create: (kind, given, manager, dryRun) => {
      const ref = refOf(given)
      if (given.metadata.resourceVersion !== undefined)
        throw invalid(kind, ref.name, [
          { path: "metadata.resourceVersion", message: "must not be set on a new object" },
        ])
      if (store.find(kind, ref) !== undefined) throw alreadyExists(kind, ref.name)
      return add(kind, given, managerKey(manager, "Update"), dryRun)
    },

    apply: (kind, given, manager) => {
      const key = managerKey(manager, "Apply")
      const { uid, resourceVersion } = given.metadata
      const stored = store.find(kind, refOf(given))
      if (stored === undefined) {
        if (uid !== undefined || resourceVersion !== undefined)
          throw conflict(kind, refOf(given), "it names a uid or version, but there is no such object")
        return add(kind, given, key)
      }
      requireSame(stored, { uid, resourceVersion })
      const live = toOwnable(stored.object, kind.statusSubresource)
      const { fields, ownership } = applyFields(stored.ownership, key, live, toOwnable(given, kind.statusSubresource))
      return commit(stored, updated(stored, fromOwnable(stored.object, fields, kind.statusSubresource)), ownership)
    },

    mergePatch: (kind, ref, patch, manager) => {
      const stored = existing(kind, ref)
      requireSame(stored, identityIn(patch))
      return updateAs(stored, patched(kind, stored.object, patch), manager)
    },

    mergePatchSpec: (kind, read, spec, manager) => {
      const stored = existing(kind, refOf(read))
      const { uid, generation } = read.metadata
      requireSame(stored, { uid })
      if (stored.object.metadata.generation !== generation)
        throw conflict(kind, refOf(read), "its spec has been modified")
      return updateAs(stored, patched(kind, stored.object, { spec }), manager)
    },

    patchStatus: (kind, ref, patch) => {
      if (!kind.statusSubresource) throw notFound(kind, { ...ref, name: `${ref.name}/status` })
      const stored = existing(kind, ref)
      const { uid, resourceVersion } = identityIn(patch)
      requireSame(stored, { resourceVersion })
      const { status: old, ...rest } = stored.object
      const { status } = applyMergePatch({ status: old }, JSON.parse(JSON.stringify({ status: patch.status }))) as Raw
      const next = validate(kind, { ...rest, ...(status === undefined ? {} : { status }) } as Raw, stored.object)
      const written = commit(stored, next, stored.ownership)
      // as on an API server, which ignores the uid here: another object may have been written, and the caller gets an error
      requireSame(stored, { uid })
      return written
    },

    replace: (kind, given, manager) => {
      const stored = existing(kind, refOf(given))
      if (given.metadata.resourceVersion === undefined)
        throw invalid(kind, given.metadata.name, [{ path: "metadata.resourceVersion", message: "must be specified" }])
      requireSame(stored, given.metadata)
      return updateAs(stored, given, manager)
    },

    delete: (kind, ref, { preconditions = {}, gracePeriodSeconds }) => {
      const stored = store.find(kind, ref)
      const { uid, resourceVersion } = preconditions
      if (stored === undefined || (uid !== undefined && uid !== stored.object.metadata.uid)) return "absent"
      requireSame(stored, { resourceVersion })
      const grace = graceOf(kind, stored.object, gracePeriodSeconds)
      if (isDeletedAtOnce(stored.object, grace)) store.remove(stored)
      else {
        const object = toTerminating(stored.object, grace, clock.now())
        if (object !== undefined) store.put({ ...stored, object })
      }
      return "deleted"
    },
  }
}
