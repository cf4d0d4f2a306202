/**
 * Rewrites dist/plugin.d.ts so that it imports no package: the types of our kinds, which the source infers from zod
 * schemas, are written out, with the description of each field as its comment.
 */
import { z } from "zod"
import { MCPInstanceSpec, MCPInstanceStatus } from "./src/api/kinds/mcp-instance.ts"
import { MCPTargetSpec, MCPTargetStatus } from "./src/api/kinds/mcp-target.ts"

type Node = Readonly<Record<string, unknown>>

const isNode = (value: unknown): value is Node => typeof value === "object" && value !== null && !Array.isArray(value)

const fieldsOf = ({ properties, required }: Node, path: string): string => {
  const names = Array.isArray(required) ? required : []
  const fields = Object.entries(properties as Readonly<Record<string, Node>>).map(([name, node]) => {
    const type = typeOf(node, `${path}.${name}`)
    const doc = typeof node.description === "string" ? `/** ${node.description} */\n` : ""
    return `${doc}readonly ${name}${names.includes(name) ? `: ${type}` : `?: ${type} | undefined`};`
  })
  return `{\n${fields.join("\n").replaceAll(/^/gm, "    ")}\n}`
}

const mapOf = ({ additionalProperties: values }: Node, path: string): string => {
  const isOpen = !isNode(values) || Object.keys(values).length === 0
  return `Readonly<Record<string, ${isOpen ? "unknown" : typeOf(values, `${path}.*`)}>>`
}

/** The type of what a node of JSON Schema describes. Throws a TypeError for a node that it does not know. */
const typeOf = (node: Node, path: string): string => {
  if (Array.isArray(node.enum)) return node.enum.map((each) => JSON.stringify(each)).join(" | ")
  if (node.type === "string" || node.type === "boolean" || node.type === "number") return node.type
  if (node.type === "integer") return "number"
  if (node.type === "array" && isNode(node.items)) {
    const item = typeOf(node.items, `${path}[]`)
    return `readonly ${/^\w+$/.test(item) ? item : `(${item})`}[]`
  }
  if (node.type === "object")
    return isNode(node.properties) && Object.keys(node.properties).length > 0 ? fieldsOf(node, path) : mapOf(node, path)
  throw new TypeError(`${path}: no type is known for ${JSON.stringify(node)}`)
}

const schemas: Readonly<Record<string, z.ZodType>> = {
  MCPInstanceSpec,
  MCPInstanceStatus,
  MCPTargetSpec,
  MCPTargetStatus,
}

/**
 * Returns the declarations without zod: each schema and its inferred type become a plain type. Throws an Error if a
 * reference to another package is left.
 */
export const withoutPackages = (declarations: string): string => {
  let text = declarations.replace(/^import \{ z \} from ['"]zod['"];\n+/, "")
  for (const [name, schema] of Object.entries(schemas)) {
    const inferred = new RegExp(`declare const ${name}: z\\.[\\s\\S]*?\ntype ${name} = z\\.infer<typeof ${name}>;\n`)
    const node = z.toJSONSchema(schema, { io: "output", reused: "inline" }) as Node
    if (!inferred.test(text)) throw new Error(`the declarations have no ${name}`)
    text = text.replace(inferred, () => `type ${name} = ${typeOf(node, name)};\n`)
  }
  const left = /^(?! *\*).*(?:\bz\.|\bfrom ['"]|\bimport\b).*$/m.exec(text)
  if (left !== null) throw new Error(`the declarations need another package: ${left[0]}`)
  return text
}
