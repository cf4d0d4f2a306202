/**
 * Checks whether the API server would accept a Pod: fields, types, required fields, and the checks of pod-relations.ts.
 */
import type { Pod } from "../../api/kinds/pod.ts"
import { suggestion } from "../../api/nearest.ts"
import { podShapes } from "../../api/pod-shapes.ts"
import { quantityPattern } from "../../api/units.ts"
import { record } from "./field-rule.ts"
import { mismatches } from "./pod-relations.ts"

type Field = { readonly type: string; readonly required: boolean }
type Shape = ReadonlyMap<string, Field>

const fieldOf = (text: string): readonly [string, Field] => {
  const [name = "", type = ""] = text.split(":")
  const required = name.endsWith("!")
  return [required ? name.slice(0, -1) : name, { type, required }]
}

const parse = (table: string): ReadonlyMap<string, Shape> =>
  new Map(
    table
      .trim()
      .split("\n")
      .map((line) => {
        const [name = "", ...fields] = line.split(" ")
        return [name, new Map(fields.map(fieldOf))]
      }),
  )

const shapes = parse(podShapes)

const kindOf = (value: unknown): string => {
  if (Array.isArray(value)) return "a list"
  return typeof value === "object" ? "an object" : `a ${typeof value}`
}

const isWhole = (value: unknown, limit: number): boolean =>
  Number.isSafeInteger(value) && Math.abs(value as number) <= limit

const int32 = 2 ** 31 - 1

type Basic = { readonly holds: (value: unknown) => boolean; readonly must: string }

/** Types other than objects and lists, each with its check and the text for a fault. */
const basics: Readonly<Record<string, Basic>> = {
  text: { holds: (value) => typeof value === "string", must: "must be text" },
  boolean: { holds: (value) => typeof value === "boolean", must: "must be true or false" },
  int32: { holds: (value) => isWhole(value, int32), must: "must be a whole number" },
  int64: { holds: (value) => isWhole(value, Number.MAX_SAFE_INTEGER), must: "must be a whole number" },
  number: { holds: (value) => typeof value === "number", must: "must be a number" },
  "int-or-text": {
    holds: (value) => typeof value === "string" || isWhole(value, int32),
    must: "must be text or a whole number",
  },
  quantity: {
    holds: (value) => (typeof value === "string" ? quantityPattern.test(value) : typeof value === "number"),
    must: "must be a quantity such as 100m or 128Mi",
  },
  any: { holds: () => true, must: "" },
}

const steps = /^[A-Za-z][\w-]{0,63}$/

/** A path with one more step. Names with special characters are quoted and cut, since a plugin may choose any name. */
const below = (at: string, name: string): string =>
  steps.test(name) ? `${at}.${name}` : `${at}[${JSON.stringify(name.slice(0, 64))}]`

const inFields = function* (value: unknown, shape: Shape, at: string): Generator<string> {
  if (kindOf(value) !== "an object") return void (yield `${at} must be an object, and is ${kindOf(value)}`)
  const given = record(value)
  for (const [name, { required }] of shape)
    if (required && (given[name] === undefined || given[name] === null)) yield `${below(at, name)} is required`
  for (const [name, each] of Object.entries(given)) {
    const field = shape.get(name)
    if (field === undefined) yield `${below(at, name)} is no field of Kubernetes${suggestion(name, shape.keys())}`
    else yield* inType(each, field.type, below(at, name))
  }
}

const inType = function* (value: unknown, type: string, at: string): Generator<string> {
  // null counts as absent
  if (value === undefined || value === null) return
  if (type.endsWith("[]")) {
    if (!Array.isArray(value)) return void (yield `${at} must be a list, and is ${kindOf(value)}`)
    for (const [index, each] of value.entries()) yield* inType(each ?? {}, type.slice(0, -2), `${at}[${index}]`)
    return
  }
  if (type.endsWith("{}")) {
    if (kindOf(value) !== "an object") return void (yield `${at} must be an object, and is ${kindOf(value)}`)
    for (const [key, each] of Object.entries(record(value))) yield* inType(each, type.slice(0, -2), below(at, key))
    return
  }
  const basic = basics[type]
  if (basic !== undefined) {
    if (basic.holds(value)) return
    const isText = typeof value === "string"
    return void (yield `${at} ${basic.must}${isText ? "" : `, and is ${kindOf(value)}`}`)
  }
  const shape = shapes.get(type)
  if (shape !== undefined) yield* inFields(value, shape, at)
}

/**
 * Faults that are ignored: pod-fields.ts has a rule for these fields, and the release of the table does not have them.
 */
const elsewhere: ReadonlySet<string> = new Set(["spec.workloadRef is no field of Kubernetes"])

/**
 * The faults for which the API server would refuse a Pod, one sentence each; empty if there are none. The checks of
 * pod-relations.ts run only if all types are right. Takes time linear in the size of the Pod.
 */
export const shapeFaults = (pod: Pod): readonly string[] => {
  const faults = [...inType(pod.metadata, "ObjectMeta", "metadata"), ...inType(pod.spec, "PodSpec", "spec")]
  const counted = faults.filter((fault) => ![...elsewhere].some((each) => fault.startsWith(each)))
  return counted.length > 0 ? counted : [...mismatches(pod)]
}
