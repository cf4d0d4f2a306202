/** Reads the shapes of Kubernetes' objects from the models of its official client, which are made from its OpenAPI document. */
import { readFileSync } from "node:fs"
import { join } from "node:path"

/** Where the models are, from the root of the repository. */
const models = "node_modules/@kubernetes/client-node/dist/gen/models"

/** What a Pod's author writes. */
const beginnings = ["V1PodSpec", "V1ObjectMeta"] as const

/** Texts that are quantities, which may be numbers too: the models do not tell them from other texts. */
const quantities: ReadonlySet<string> = new Set([
  "V1EmptyDirVolumeSource.sizeLimit",
  "V1PodSpec.overhead",
  "V1ResourceFieldSelector.divisor",
  "V1ResourceRequirements.limits",
  "V1ResourceRequirements.requests",
  "V1VolumeResourceRequirements.limits",
  "V1VolumeResourceRequirements.requests",
])

type Field = { readonly name: string; readonly type: string; readonly format: string; readonly required: boolean }

/** The fields of a model: types and formats as its script has them, and as its declaration has it which are required. */
const fieldsOf = (root: string, model: string): readonly Field[] => {
  const read = (ending: string) => readFileSync(join(root, models, `${model}${ending}`), "utf8")
  const [, script = ""] = read(".js").split(".attributeTypeMap = ")
  const attributes = JSON.parse(script.slice(0, script.indexOf("\n];") + 2)) as {
    name: string
    baseName: string
    type: string
    format: string
  }[]
  const declared = read(".d.ts")
  return attributes.map(({ name, baseName, type, format }) => ({
    ...{ name: baseName, type, format },
    required: declared.includes(`\n    '${name}': `),
  }))
}

/** Of a model's name: its group, where the name alone would be another's, and its version. */
const prefix = /^(?:Core)?V1/

const basic: Readonly<Record<string, string>> = { string: "text", boolean: "boolean", Date: "text", any: "any" }

/** A type as the table writes it: `text`, `int32`, `text[]`, `text{}` for a map, or the name of a shape. */
const typeText = (model: string, { name, type, format }: Field): string => {
  if (quantities.has(`${model}.${name}`)) return type === "string" ? "quantity" : "quantity{}"
  const [, item] = /^Array<(.+)>$/.exec(type) ?? []
  if (item !== undefined) return `${typeText(model, { name, type: item, format, required: true })}[]`
  const [, value] = /^\{ \[key: string\]: (.+); \}$/.exec(type) ?? []
  if (value !== undefined) return `${typeText(model, { name, type: value, format, required: true })}{}`
  if (type === "IntOrString") return "int-or-text"
  if (type === "number") return format === "int32" ? "int32" : format === "int64" ? "int64" : "number"
  return basic[type] ?? type.replace(prefix, "")
}

/** Every model that a Pod's author can fill in, by name. */
const reach = (root: string): ReadonlyMap<string, readonly Field[]> => {
  const found = new Map<string, readonly Field[]>()
  const waiting: string[] = [...beginnings]
  for (let model = waiting.pop(); model !== undefined; model = waiting.pop()) {
    if (found.has(model)) continue
    const fields = fieldsOf(root, model)
    found.set(model, fields)
    for (const { type } of fields) waiting.push(...(type.match(/\b(?:Core)?V1\w+/g) ?? []))
  }
  return found
}

/** The release of Kubernetes that the models are of, e.g. `1.36`. */
const releaseOf = (root: string): string =>
  /OpenAPI spec version: release-([\d.]+)/.exec(readFileSync(join(root, models, "V1PodSpec.d.ts"), "utf8"))?.[1] ?? ""

/** The source of src/api/pod-shapes.ts. `root`: of the repository. */
export const podShapesFile = (root: string): string => {
  const lines = [...reach(root)]
    .toSorted(([one], [other]) => (one < other ? -1 : 1))
    .map(([model, fields]) => {
      const texts = fields.map((field) => `${field.name}${field.required ? "!" : ""}:${typeText(model, field)}`)
      return [model.replace(prefix, ""), ...texts].join(" ")
    })
  return `/**
 * The shapes of a Pod of Kubernetes ${releaseOf(root)}: a line for each, with its fields and their types; \`!\` = required, \`[]\` = a
 * list, \`{}\` = a map. Made by \`npm run generate\` of the models of @kubernetes/client-node; a change here is lost.
 */
export const podShapes = \`
${lines.join("\n")}
\`
`
}
