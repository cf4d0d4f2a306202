import type { KubeObject } from "../../api/kind.ts"
import { managerKey, type Ownership, ownershipAfterWrite, ownershipOf, pathsOf, toOwnable } from "./ownership.ts"
import { alreadyExists } from "./problem.ts"
import { type AnyKind, type Raw, toRaw } from "./raw.ts"
import type { Store, Stored } from "./store.ts"
import { validate } from "./validate.ts"

/** The paths of fields by who wrote them: `{"Update reflow-gateway": [["spec", "image"]]}`. */
export type KeptManagers = Readonly<Record<string, readonly (readonly string[])[]>>

/** An object as it is kept beyond the end of its cluster: without status, which is found out anew, and version. */
export type Kept = {
  readonly object: KubeObject
  /** Absent: all that is in it was written by the one who restores it. */
  readonly managers?: KeptManagers
}

/** What is kept of a stored object. */
export const toKept = ({ kind, object, ownership }: Stored): Kept => {
  const { status, ...rest } = object
  const { resourceVersion: _, ...metadata } = object.metadata
  return {
    object: { ...rest, metadata, ...(kind.statusSubresource || status === undefined ? {} : { status }) },
    managers: Object.fromEntries([...ownership].map(([key, paths]) => [key, pathsOf(paths)])),
  }
}

const ownershipIn = (kind: AnyKind, object: Raw, { managers }: Kept, manager: string): Ownership =>
  managers === undefined
    ? ownershipAfterWrite(new Map(), managerKey(manager, "Update"), {}, toOwnable(object, kind.statusSubresource))
    : ownershipOf(managers)

/**
 * Puts a kept object into a store with its UID and times, as a backup of an API server does. Throws `ApiInvalid` if
 * the kind does not allow it any more, `ApiAlreadyExists` if its name is taken.
 */
export const restoreKept = (store: Store, kind: AnyKind, kept: Kept, manager: string): void => {
  const given = toRaw(kept.object)
  const { name, namespace = "" } = given.metadata
  const object = validate(kind, given)
  if (store.find(kind, { namespace, name }) !== undefined) throw alreadyExists(kind, name)
  store.put({ kind, object, ownership: ownershipIn(kind, given, kept, manager) })
}
