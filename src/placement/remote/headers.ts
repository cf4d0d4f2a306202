import { filledLength, fillTemplate, namesInTemplate } from "../../api/header-template.ts"
import type { MCPTarget } from "../../api/kinds/mcp-target.ts"
import { AppError } from "../../errors.ts"

/** Most bytes of all composed headers of one request together: servers refuse more than 8 to 32 KiB. */
const maxBytes = 16 * 1024

/** What a header's value may be made of: printable ASCII and tabs (RFC 9110 §5.5, without obs-text). */
const unprintable = /[^\t\x20-\x7e]/

const unusable = (target: MCPTarget, detail: string): AppError =>
  new AppError("InstanceFailed", {
    detail: `A header of ${target.metadata.name} cannot be made: ${detail}`,
    data: { reason: "CredentialInvalid" },
  })

/** Throws InstanceFailed for a credential that would break its header; its value is never repeated. */
const ensurePrintable = (target: MCPTarget, name: string, value: string): void => {
  if (!unprintable.test(value)) return
  const isLine = /[\r\n]$/.test(value)
  const what = isLine
    ? "ends with a line break. Set it again without one (a file that an editor saved usually ends with one)."
    : "has a character that a header cannot have: a line break, a control character, or none of ASCII."
  throw unusable(target, `the credential ${name} ${what}`)
}

/** The names of the credentials in the target's header templates, each once. */
export const credentialNames = ({ spec }: MCPTarget): readonly string[] => [
  ...new Set((spec.remote?.headers ?? []).flatMap(({ value }) => namesInTemplate(value))),
]

/**
 * The headers of a target with the values of its credentials, as a flat list of names (lower case) and values. A header
 * is left out if one of its credentials has no value. Throws InstanceFailed for a value with line breaks, control
 * characters or characters outside of ASCII, and for headers of more than 16 KiB. Pure.
 */
export const composeHeaders = (target: MCPTarget, values: Readonly<Record<string, string>>): readonly string[] => {
  for (const name of credentialNames(target))
    if (Object.hasOwn(values, name)) ensurePrintable(target, name, values[name] ?? "")
  const templates = (target.spec.remote?.headers ?? []).flatMap(({ name, value }) => {
    const length = filledLength(value, values)
    return length === undefined ? [] : [{ name, value, bytes: name.length + length }]
  })
  const bytes = templates.reduce((sum, each) => sum + each.bytes, 0)
  if (bytes > maxBytes) throw unusable(target, `together they have ${bytes} bytes, and at most ${maxBytes} are sent.`)
  return templates.flatMap(({ name, value }) => [name.toLowerCase(), fillTemplate(value, values) ?? ""])
}
