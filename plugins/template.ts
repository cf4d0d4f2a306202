/** Subject keys from several facts of the caller: `{{email | domain}}`, `{{groups}}`, `{{tenant}}-{{region}}`. */
import { z } from "zod"
import { defineHook, definePlugin, type PluginIdentity, requireClaim } from "../src/plugin/contract.ts"

/** A-Z alone: Unicode's rules make other letters equal too, such as the Kelvin sign and k, which nobody has in mind. */
const lower = (value: string): string => value.replaceAll(/[A-Z]+/g, (letters) => letters.toLowerCase())

/** What stands behind the last @ of a mail address; nothing, which denies, if it is none: a bare text has no domain. */
const domain = (value: string): string => {
  const at = value.lastIndexOf("@")
  return at < 1 ? "" : lower(value.slice(at + 1))
}

/** What a value can be made into. Each must keep different things apart that the template's author wants apart. */
const filters: Readonly<Record<string, (value: string) => string>> = { lower, domain }

const placeholder = /\{\{\s*([^{}|\s]+)\s*(?:\|\s*([a-z]+)\s*)?\}\}/g

/** A claim whose names have dots, as JSON: `{{["resource_access","my.client","tenant"]}}`. */
const steps = z.array(z.string().min(1)).min(1).max(16)

type Fact = string | readonly string[]
type Part = { readonly fact: Fact | undefined; readonly filter: string | undefined }

/** A fact's name, or the steps of a claim; undefined if it begins as a list and is no list of names. */
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
  /** True: equal values of two issuers are one sharer; default false. */
  across_issuers: z.boolean().default(false),
})

/** A fact of the identity by its name, else a claim. Throws SubjectKeyDenied, naming it, if it is not there. */
const factOf = (identity: PluginIdentity, fact: Fact): string => {
  if (fact === "issuer") return identity.issuer
  if (fact === "subject") return identity.subject
  // without a verified one, the claim denies
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
        // the values themselves and not the text: with it, "a-b" and "c" would be the same as "a" and "b-c"
        return JSON.stringify([...(config.across_issuers ? [] : [identity.issuer]), ...values])
      }),
    },
  }),
})
