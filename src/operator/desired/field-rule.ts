/** Rules for fields of a Pod that a pod template sets, and the check of a Pod against a table of such rules. */

import type { MCPInstance } from "../../api/kinds/mcp-instance.ts"
import { type Fields, isFields } from "../../api/patch.ts"
import type { podFreedoms } from "../../config/schema.ts"

/** An entry of kubernetes.allow_in_pods. */
export type PodFreedom = (typeof podFreedoms)[number]

/** True if a rule applies to a value of its field. Never called with undefined or null. */
export type Asks = (value: unknown, instance: MCPInstance) => boolean

/** The permission that kubernetes.allow_in_pods must have for a value that `when` is true for. */
type Need = { readonly permission: PodFreedom; readonly when: Asks }

/** The rule for one field. */
export type FieldRule = {
  /** `ours`: the operator overwrites it; `template`: the template's value stays, within `needs` and `refuses`. */
  readonly decides: "ours" | "template"
  readonly needs: readonly Need[]
  /** Values that no entry allows; undefined if there are none. */
  readonly refuses: Asks | undefined
  /** Rules for the fields of the value if it is an object, or of each object in it if it is a list (`list`). */
  readonly parts: { readonly list: boolean; readonly fields: FieldRules } | undefined
  /** A note for readers of docs/plugins.md; may be empty. */
  readonly note: string
}

/** A rule for each known field. A field without a rule is refused. */
export type FieldRules = Readonly<Record<string, FieldRule>>

/** `value` if it is an object, else an object without fields. */
export const record = (value: unknown): Fields => (isFields(value) ? value : {})

/** `value` as a list of objects, by {@link record}; an empty list if it is no list. */
export const records = (value: unknown): readonly Fields[] => (Array.isArray(value) ? value.map(record) : [])

/** False for values that Kubernetes treats like an absent field. */
const says: Asks = (value) => value !== false && value !== "" && !(Array.isArray(value) && value.length === 0)

const plain: FieldRule = { decides: "template", needs: [], refuses: undefined, parts: undefined, note: "" }

/** Rule: the operator overwrites the field, whatever a template sets. */
export const ours = (note: string): FieldRule => ({ ...plain, decides: "ours", note })

/** Rule: any value of a template is allowed, with all its parts. */
export const author = (note = ""): FieldRule => ({ ...plain, note })

/** Rule: values that `when` is true for (default: all but empty ones) need an entry of kubernetes.allow_in_pods. */
export const needs = (permission: PodFreedom, note = "", when: Asks = says): FieldRule => ({
  ...plain,
  needs: [{ permission, when }],
  note,
})

/** Rule: values that `when` is true for are refused, whatever kubernetes.allow_in_pods has. */
export const never = (note: string, when: Asks = says): FieldRule => ({ ...plain, refuses: when, note })

/** The rule, with one more entry that values need. */
export const andNeeds = (rule: FieldRule, permission: PodFreedom, when: Asks = says): FieldRule => ({
  ...rule,
  needs: [...rule.needs, { permission, when }],
})

/** Rule: the value is an object; each of its fields has its own rule. */
export const object = (fields: FieldRules, rule: FieldRule = plain): FieldRule => ({
  ...rule,
  parts: { list: false, fields },
})

/** Rule: the value is a list of objects; each of their fields has its own rule. */
export const list = (fields: FieldRules, rule: FieldRule = plain): FieldRule => ({
  ...rule,
  parts: { list: true, fields },
})

/**
 * Something found in a Pod: an entry that it needs in kubernetes.allow_in_pods, or the path of a field that is refused.
 */
type Finding = { readonly permission: PodFreedom } | { readonly refused: string }

/** Most characters of a field's name that are shown: a plugin may choose any name. */
const longestName = 64

const findInFields = function* (value: unknown, fields: FieldRules, at: string, instance: MCPInstance) {
  if (!isFields(value)) return void (yield { refused: at })
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

/**
 * Checks a value against the rule of its field, parts included. `at` is the field's path, such as
 * `spec.containers[].name`. Takes time linear in the size of the value.
 */
export const findIn = function* (
  value: unknown,
  rule: FieldRule,
  at: string,
  instance: MCPInstance,
): Generator<Finding> {
  // null counts as absent; a field that the operator overwrites needs no check
  if (value === undefined || value === null || rule.decides === "ours") return
  if (rule.refuses?.(value, instance) === true) yield { refused: at }
  for (const { permission, when } of rule.needs) if (when(value, instance)) yield { permission }
  if (rule.parts !== undefined) yield* findInParts(value, rule.parts, at, instance)
}
