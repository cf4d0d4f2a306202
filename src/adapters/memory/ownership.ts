import { isDeepStrictEqual } from "node:util"
import { type Fields, isFields } from "../../api/patch.ts"
import type { FieldManager, FieldSet } from "../../ports/cluster.ts"
import type { Raw } from "./raw.ts"

/**
 * The field managers of an object, as server-side apply needs them: paths of leaf fields by manager. A simplified form
 * of Kubernetes' structured merge: a list is one leaf, except owner references, which are a map by UID.
 */
export type Ownership = ReadonlyMap<string, ReadonlySet<string>>

/** Map key of a field manager with its operation; Kubernetes too keeps Apply and Update of one manager apart. */
export const managerKey = (manager: string, how: "Apply" | "Update"): string => `${how} ${manager}`

const separator = "\0"
const serverOwned = ["name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp"]
const deletionFields = ["deletionTimestamp", "deletionGracePeriodSeconds", "managedFields"]

const without = (fields: Fields, names: readonly string[]): Fields =>
  Object.fromEntries(Object.entries(fields).filter(([name]) => !names.includes(name)))

/** The part of an object that managers own, with owner references by UID. */
export const toOwnable = (object: Raw, statusSubresource: boolean): Fields => {
  const metadata = without(object.metadata, [...serverOwned, ...deletionFields, "ownerReferences"])
  const references = object.metadata.ownerReferences
  return {
    ...without(object, ["apiVersion", "kind", "metadata", ...(statusSubresource ? ["status"] : [])]),
    metadata: {
      ...metadata,
      ...(references === undefined
        ? {}
        : { ownerReferences: Object.fromEntries(references.map((reference) => [reference.uid, reference])) }),
    },
  }
}

/** Merges an ownable part back into the object that it came from (`live`). */
export const fromOwnable = (live: Raw, ownable: Fields, statusSubresource: boolean): Raw => {
  const metadata = isFields(ownable.metadata) ? ownable.metadata : {}
  const kept = Object.fromEntries(
    Object.entries(live.metadata).filter(([name]) => serverOwned.includes(name) || deletionFields.includes(name)),
  )
  const references = isFields(metadata.ownerReferences) ? Object.values(metadata.ownerReferences) : []
  const own = without(metadata, ["ownerReferences"])
  return {
    ...ownable,
    apiVersion: live.apiVersion,
    kind: live.kind,
    metadata: { ...kept, ...own, ...(references.length === 0 ? {} : { ownerReferences: references }) },
    ...(statusSubresource && live.status !== undefined ? { status: live.status } : {}),
  } as unknown as Raw
}

/** Leaves by path: primitives, lists and empty objects. */
const leaves = (fields: Fields, prefix = "", into = new Map<string, unknown>()): Map<string, unknown> => {
  for (const [name, value] of Object.entries(fields)) {
    const path = prefix === "" ? name : `${prefix}${separator}${name}`
    if (isFields(value) && Object.keys(value).length > 0) leaves(value, path, into)
    else into.set(path, value)
  }
  return into
}

const isEmpty = (value: unknown): boolean => isFields(value) && Object.keys(value).length === 0

const overlay = (live: Fields, given: Fields): Fields => {
  const next: Record<string, unknown> = { ...live }
  for (const [name, value] of Object.entries(given)) {
    const before = next[name]
    next[name] = isFields(before) && isFields(value) ? overlay(before, value) : value
  }
  return next
}

/** `fields` without the leaf at `path`, and without parents that become empty by that. */
const removeLeaf = (fields: Fields, [name = "", ...rest]: readonly string[]): Fields => {
  const value = fields[name]
  if (rest.length === 0) return isFields(value) && !isEmpty(value) ? fields : without(fields, [name])
  if (!isFields(value)) return fields
  const inner = removeLeaf(value, rest)
  return inner !== value && isEmpty(inner) ? without(fields, [name]) : { ...fields, [name]: inner }
}

/** The ownership after `manager` wrote the fields that differ between `before` and `after`: it owns them alone. */
export const ownershipAfterWrite = (
  ownership: Ownership,
  manager: string,
  before: Fields,
  after: Fields,
): Ownership => {
  const [old, next] = [leaves(before), leaves(after)]
  const changed = new Set<string>()
  for (const path of new Set([...old.keys(), ...next.keys()]))
    if (!isDeepStrictEqual(old.get(path), next.get(path))) changed.add(path)
  if (changed.size === 0) return ownership
  const result = new Map(
    [...ownership].map(([key, paths]) => [key, new Set([...paths].filter((path) => !changed.has(path)))]),
  )
  const gained = [...changed].filter((path) => next.has(path))
  return result.set(manager, new Set([...(result.get(manager) ?? []), ...gained]))
}

/**
 * Server-side apply with force: merges `given` into `live`. A field that `manager` applied before and that is not in
 * `given` is removed, unless another manager owns it too.
 */
export const applyFields = (
  ownership: Ownership,
  manager: string,
  live: Fields,
  given: Fields,
): { readonly fields: Fields; readonly ownership: Ownership } => {
  const paths = new Set(leaves(given).keys())
  const others = [...ownership].filter(([key]) => key !== manager)
  let fields = overlay(live, given)
  for (const path of ownership.get(manager) ?? []) {
    if (paths.has(path) || others.some(([, theirs]) => theirs.has(path))) continue
    fields = removeLeaf(fields, path.split(separator))
  }
  const written = ownershipAfterWrite(new Map(others), manager, live, fields)
  return { fields, ownership: new Map(written).set(manager, paths) }
}

/** The paths that one manager owns, as lists of names; {@link ownershipOf} is the inverse. */
export const pathsOf = (paths: ReadonlySet<string>): readonly (readonly string[])[] =>
  [...paths].map((path) => path.split(separator))

/** The ownership of an object from the {@link pathsOf} each manager. */
export const ownershipOf = (managers: Readonly<Record<string, readonly (readonly string[])[]>>): Ownership =>
  new Map(Object.entries(managers).map(([key, paths]) => [key, new Set(paths.map((path) => path.join(separator)))]))

type Growing = { [key: string]: Growing }

const toFieldSet = (paths: Iterable<string>): FieldSet => {
  const set: Growing = {}
  for (const path of paths) {
    let at = set
    for (const name of path.split(separator)) {
      const key = `f:${name}`
      at[key] ??= {}
      at = at[key]
    }
  }
  return set
}

/** The managers other than `manager`, of both operations, with their fields as FieldsV1. */
export const otherManagers = (ownership: Ownership, manager: string): readonly FieldManager[] => {
  const own = [managerKey(manager, "Apply"), managerKey(manager, "Update")]
  return [...ownership]
    .filter(([key, paths]) => !own.includes(key) && paths.size > 0)
    .map(([key, paths]) => ({ name: key.slice(key.indexOf(" ") + 1), fields: toFieldSet(paths) }))
}
