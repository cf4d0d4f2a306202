/**
 * The interface by which a schema of any library (zod, valibot, arktype, …) checks a value and tells its type: Standard
 * Schema, version 1 (https://standardschema.dev). Written out here, so that the plugin API depends on no package.
 */
export type StandardSchema<Input = unknown, Output = Input> = {
  readonly "~standard": {
    /** Version of the interface. */
    readonly version: 1
    /** Name of the schema library. */
    readonly vendor: string
    /** Checks a value; never throws for a bad one. */
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>
    /** Never set: carries the types. */
    readonly types?: { readonly input: Input; readonly output: Output } | undefined
  }
}

/** What a check yields: the value, converted and with defaults, or what is wrong with it. */
export type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] }

/** One thing that is wrong with a value, and where. */
export type SchemaIssue = {
  readonly message: string
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
}

/** Type of the values that a schema yields. */
export type SchemaOutput<Schema extends StandardSchema> = NonNullable<Schema["~standard"]["types"]>["output"]
