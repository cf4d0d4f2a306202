/** What can be decided of a field of a Pod, and how a Pod is held against a table of such decisions. */
import type { MCPInstance } from "../../api/kinds/mcp-instance.ts"
import type { podFreedoms } from "../../config/schema.ts"

/** A freedom that kubernetes.allow_in_pods can name. */
export type PodFreedom = (typeof podFreedoms)[number]

/** Whether a value of a field does what the rule is about. Asked of values that are there: never undefined or null. */
export type Asks = (value: unknown, instance: MCPInstance) => boolean

/** A word that a value needs in kubernetes.allow_in_pods. */
type Need = { readonly word: PodFreedom; readonly when: Asks }

/** What is decided of one field. */
export type FieldRule = {
  /** `ours`: put back whatever a template says; `template`: as it says, but for what is needed and refused below. */
  readonly decides: "ours" | "template"
  readonly needs: readonly Need[]
  /** Values that no word allows; undefined if there are none. */
  readonly refuses: Asks | undefined
  /** Decisions about the fields of the object, or of each object in the list, that is the value. */
  readonly parts: { readonly list: boolean; readonly fields: FieldRules } | undefined
  /** For people: what it is about. May be empty. */
  readonly note: string
}

/** A decision for each field that there is. A field without one is refused. */
export type FieldRules = Readonly<Record<string, FieldRule>>

type Fields = Readonly<Record<string, unknown>>

/** `value` as an object; one without fields if it is none. */
export const record = (value: unknown): Fields => (isObject(value) ? value : {})

/** `value` as a list of objects; empty if it is none. */
export const records = (value: unknown): readonly Fields[] => (Array.isArray(value) ? value.map(record) : [])

const isObject = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** False for what Kubernetes takes for nothing said. */
const says: Asks = (value) => value !== false && value !== "" && !(Array.isArray(value) && value.length === 0)

const plain: FieldRule = { decides: "template", needs: [], refuses: undefined, parts: undefined, note: "" }

/** The field is put back, whatever a template says. */
export const ours = (note: string): FieldRule => ({ ...plain, decides: "ours", note })

/** The field is as the template says, with all that is in it. */
export const author = (note = ""): FieldRule => ({ ...plain, note })

/** The field needs a word, if `when` holds; by default if anything is said. */
export const needs = (word: PodFreedom, note = "", when: Asks = says): FieldRule => ({
  ...plain,
  needs: [{ word, when }],
  note,
})

/** Values that `when` holds for are refused, whatever is allowed. */
export const never = (note: string, when: Asks = says): FieldRule => ({ ...plain, refuses: when, note })

/** The same field needs another word, too. */
export const andNeeds = (rule: FieldRule, word: PodFreedom, when: Asks = says): FieldRule => ({
  ...rule,
  needs: [...rule.needs, { word, when }],
})

/** An object whose fields are decided one by one. */
export const object = (fields: FieldRules, rule: FieldRule = plain): FieldRule => ({
  ...rule,
  parts: { list: false, fields },
})

/** A list of objects whose fields are decided one by one. */
export const list = (fields: FieldRules, rule: FieldRule = plain): FieldRule => ({
  ...rule,
  parts: { list: true, fields },
})

/** What was found in a Pod: a word that it needs, or the path of a field that is refused. */
type Finding = { readonly word: PodFreedom } | { readonly refused: string }

/** Longest name of a field that is shown: whoever made the Pod chose it. */
const longestName = 64

const findInFields = function* (value: unknown, fields: FieldRules, at: string, instance: MCPInstance) {
  if (!isObject(value)) return void (yield { refused: at })
  for (const [name, each] of Object.entries(value)) {
    const path = `${at}.${name.slice(0, longestName).replace(/[^\w-]/g, "?")}`
    const rule = Object.hasOwn(fields, name) ? fields[name] : undefined
    if (rule === undefined) yield { refused: path }
    else yield* findIn(each, rule, path, instance)
  }
}

const findInParts = function* (
  value: unknown,
  { list: isList, fields }: NonNullable<FieldRule["parts"]>,
  at: string,
  instance: MCPInstance,
) {
  if (!isList) return void (yield* findInFields(value, fields, at, instance))
  if (!Array.isArray(value)) return void (yield { refused: at })
  for (const each of value) yield* findInFields(each, fields, `${at}[]`, instance)
}

/** Holds a value against the rule of its field. `at` is the field's path, such as `spec.containers[].name`. Linear in the value. */
export const findIn = function* (
  value: unknown,
  rule: FieldRule,
  at: string,
  instance: MCPInstance,
): Generator<Finding> {
  // null is nothing said; what is put back needs no look
  if (value === undefined || value === null || rule.decides === "ours") return
  if (rule.refuses?.(value, instance) === true) yield { refused: at }
  for (const { word, when } of rule.needs) if (when(value, instance)) yield { word }
  if (rule.parts !== undefined) yield* findInParts(value, rule.parts, at, instance)
}
