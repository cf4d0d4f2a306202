/**
 * Standard Schema, version 1 (https://standardschema.dev): the common interface of schema libraries (zod, valibot,
 * arktype, …) to validate a value and infer its type. It is declared here so that the plugin API depends on no package.
 */
export type StandardSchema<Input = unknown, Output = Input> = {
  readonly "~standard": {
    /** Version of the interface. */
    readonly version: 1
    /** Name of the schema library. */
    readonly vendor: string
    /** Checks a value; never throws for a bad one. */
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>
    /** Never set at run time: it only carries the types. */
    readonly types?: { readonly input: Input; readonly output: Output } | undefined
  }
}

/** Result of a validation: the value, converted and with defaults, or the issues. */
export type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] }

/** A fault of a value, and its path in the value. */
export type SchemaIssue = {
  readonly message: string
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
}

/** Type of the values that a schema yields. */
export type SchemaOutput<Schema extends StandardSchema> = NonNullable<Schema["~standard"]["types"]>["output"]
