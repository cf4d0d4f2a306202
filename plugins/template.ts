/**
 * Subject-key strategy `template`: from one or more facts of the caller, e.g. `{{email | domain}}`,
 * `{{tenant}}-{{region}}`.
 */
import { z } from "zod"
import { defineHook, definePlugin, type PluginIdentity, requireClaim } from "../src/plugin/contract.ts"

/** Lower case of A-Z only: Unicode case mapping would also make different letters equal, e.g. the Kelvin sign and k. */
const lower = (value: string): string => value.replaceAll(/[A-Z]+/g, (letters) => letters.toLowerCase())

/**
 * The part of an email address after the last @, in lower case. Empty, which denies the caller, if there is no address.
 */
const domain = (value: string): string => {
  const at = value.lastIndexOf("@")
  return at < 1 ? "" : lower(value.slice(at + 1))
}

/** The filters of placeholders, by name. A filter must not map values to the same text that must be kept apart. */
const filters: Readonly<Record<string, (value: string) => string>> = { lower, domain }

const placeholder = /\{\{\s*([^{}|\s]+)\s*(?:\|\s*([a-z]+)\s*)?\}\}/g

/** Schema of a path to a claim as a JSON list, for names with dots: `{{["resource_access","my.client","tenant"]}}`. */
const steps = z.array(z.string().min(1)).min(1).max(16)

type Fact = string | readonly string[]
type Part = { readonly fact: Fact | undefined; readonly filter: string | undefined }

/** The name of a fact, or the path to a claim; undefined if the text begins with [ but is no JSON list of names. */
const toFact = (text: string): Fact | undefined => {
  if (!text.startsWith("[")) return text
  try {
    return steps.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}

const partsOf = (template: string): readonly Part[] =>
  [...template.matchAll(placeholder)].map(([, fact = "", filter]) => ({ fact: toFact(fact), filter }))

const settings = z.strictObject({
  template: z
    .string()
    .min(1)
    .max(1_024)
    .refine((text) => partsOf(text).length > 0, "needs a placeholder such as {{email | domain}}")
    .refine((text) => !/[{}]/.test(text.replaceAll(placeholder, "")), "has a brace that belongs to no placeholder")
    .refine(
      (text) => partsOf(text).every(({ fact }) => fact !== undefined),
      'takes a claim of several names as a JSON list without blanks, e.g. {{["resource_access","my.client","tenant"]}}',
    )
    .refine(
      (text) => partsOf(text).every(({ filter }) => filter === undefined || Object.hasOwn(filters, filter)),
      `knows the filters ${Object.keys(filters).join(", ")} only`,
    ),
  /** True: equal values of different issuers share an instance; default false. */
  across_issuers: z.boolean().default(false),
})

/**
 * A fact of the identity (issuer, subject, email) by its name, else a claim. Throws SubjectKeyDenied if it is missing.
 */
const factOf = (identity: PluginIdentity, fact: Fact): string => {
  if (fact === "issuer") return identity.issuer
  if (fact === "subject") return identity.subject
  // without a verified address, requireClaim decides about the claim `email`
  if (fact === "email" && identity.email !== undefined) return identity.email
  return requireClaim(identity, fact)
}

const partValue = (identity: PluginIdentity, { fact = "", filter }: Part): string => {
  const value = factOf(identity, fact)
  return filter === undefined ? value : (filters[filter]?.(value) ?? "")
}

export default definePlugin({
  api: 1,
  name: "template",
  setup: () => ({
    subjectKeys: {
      template: defineHook(settings, ({ identity, config }) => {
        const values = partsOf(config.template).map((part) => partValue(identity, part))
        if (values.includes("")) return undefined
        // a list of the values, not the filled-in text: in {{x}}-{{y}}, "a-b" and "c" would equal "a" and "b-c"
        return JSON.stringify([...(config.across_issuers ? [] : [identity.issuer]), ...values])
      }),
    },
  }),
})
