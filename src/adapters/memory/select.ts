import { AppError } from "../../errors.ts"
import type { Selection } from "../../ports/cluster.ts"
import { type AnyKind, isFields, type Raw } from "./raw.ts"

/** Selectable fields of Kubernetes' own kinds, besides name and namespace. */
const builtIn: Readonly<Record<string, readonly string[]>> = {
  Pod: ["spec.nodeName", "status.phase", "status.podIP"],
  Secret: ["type"],
  Event: ["involvedObject.kind", "involvedObject.name", "involvedObject.uid", "reason", "type"],
}

const selectable = (kind: AnyKind): readonly string[] => [
  "metadata.name",
  "metadata.namespace",
  ...(kind.crd?.selectableFields.map((path) => path.replace(/^\./, "")) ?? builtIn[kind.kind] ?? []),
]

const refuse = (what: string): AppError => new AppError("ApiInvalid", { detail: `unable to select: ${what}` })

/** The pairs of `a=b,c=d`. */
const pairs = (selector: string | undefined): (readonly [string, string])[] =>
  (selector ?? "")
    .split(",")
    .filter((part) => part.trim() !== "")
    .map((part) => {
      const match = /^([^=!\s]+)\s*==?\s*([^=!\s]*)$/.exec(part.trim())
      if (match === null) throw refuse(`'${part}' is not key=value`)
      return [match[1] ?? "", match[2] ?? ""]
    })

const textAt = (root: unknown, path: string): string => {
  let value: unknown = root
  for (const name of path.split(".")) value = isFields(value) ? value[name] : undefined
  return value === undefined ? "" : String(value)
}

/** A test for the objects of a selection. Throws `ApiInvalid` if a selector cannot be read or a field not selected by. */
export const toPredicate = (kind: AnyKind, selection: Selection): ((object: Raw) => boolean) => {
  const labels = pairs(selection.labelSelector)
  const fields = pairs(selection.fieldSelector)
  for (const [path] of fields) if (!selectable(kind).includes(path)) throw refuse(`field label not supported: ${path}`)
  return (object) =>
    object.metadata.namespace === selection.namespace &&
    labels.every(([key, value]) => object.metadata.labels?.[key] === value) &&
    fields.every(([path, value]) => textAt(object, path) === value)
}
