import type { FieldManager, FieldSet } from "../../ports/cluster.ts"

const isFieldSet = (value: unknown): value is FieldSet =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** An entry of `metadata.managedFields`, as far as it is read. */
type Entry = {
  readonly manager?: unknown
  readonly subresource?: unknown
  readonly fieldsV1?: unknown
}

/** The managers besides `own`, from an object as the API server sent it; those of subresources are left out. */
export const otherManagers = (raw: unknown, own: string): readonly FieldManager[] => {
  const { managedFields } = (raw as { metadata?: { managedFields?: unknown } }).metadata ?? {}
  if (!Array.isArray(managedFields)) return []
  return managedFields.flatMap(({ manager, subresource, fieldsV1 }: Entry) =>
    typeof manager === "string" && manager !== own && (subresource ?? "") === "" && isFieldSet(fieldsV1)
      ? [{ name: manager, fields: fieldsV1 }]
      : [],
  )
}
