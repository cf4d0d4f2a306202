/**
 * Values of headers in `spec.remote.headers`: literal text with `${NAME}` for the credential NAME, and `$$` for one `$`.
 */

/** The form of a header's value: printable ASCII and tabs (RFC 9110 §5.5), each `$` as `$$` or as the start of `${NAME}`. */
export const headerTemplatePattern = /^([\t\x20-\x23\x25-\x7e]|\$\$|\$\{[A-Za-z_][A-Za-z0-9_]*\})*$/

/** A piece of a template: literal text, or the name of a credential. */
type Piece = { readonly text: string } | { readonly name: string }

/** The pieces of a template, in order. Linear in its length. */
const piecesOf = (template: string): Piece[] => {
  const pieces: Piece[] = []
  let from = 0
  for (let at = template.indexOf("$"); at !== -1; at = template.indexOf("$", from)) {
    pieces.push({ text: template.slice(from, at) })
    const end = template[at + 1] === "{" ? template.indexOf("}", at) : -1
    if (end === -1) pieces.push({ text: "$" })
    else pieces.push({ name: template.slice(at + 2, end) })
    from = end === -1 ? at + 2 : end + 1
  }
  pieces.push({ text: template.slice(from) })
  return pieces
}

/** The names of the credentials in a template, each once, in order. */
export const namesInTemplate = (template: string): readonly string[] => [
  ...new Set(piecesOf(template).flatMap((piece) => ("name" in piece ? [piece.name] : []))),
]

/**
 * How long the template is with the credentials' values, in UTF-16 units; undefined if one of them has no value. To be
 * asked before it is filled: a few characters can stand for 64 KiB each.
 */
export const filledLength = (template: string, values: Readonly<Record<string, string>>): number | undefined => {
  let length = 0
  for (const piece of piecesOf(template)) {
    if ("text" in piece) length += piece.text.length
    else if (Object.hasOwn(values, piece.name)) length += values[piece.name]?.length ?? 0
    else return undefined
  }
  return length
}

/** The template with the credentials' values; undefined if one of them has no value. */
export const fillTemplate = (template: string, values: Readonly<Record<string, string>>): string | undefined => {
  let filled = ""
  for (const piece of piecesOf(template)) {
    if ("text" in piece) filled += piece.text
    else if (Object.hasOwn(values, piece.name)) filled += values[piece.name]
    else return undefined
  }
  return filled
}
