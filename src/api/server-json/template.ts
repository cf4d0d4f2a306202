/** `{curly}` templates of a document, and the forms in which a target has literal text and credentials. */

/** Literal text, or the value of a credential. */
export type Piece = { readonly text: string } | { readonly credential: string }

/** Literal text, or the name of a variable. */
type Part = { readonly text: string } | { readonly variable: string }

/** A name in braces; whatever else stands in braces, such as JSON, is text. */
const named = /\{([A-Za-z0-9_.-]{1,64})\}/g

/** The parts of a template, in order; one empty text for an empty template. Linear in its length. */
export const splitTemplate = (template: string): readonly Part[] => {
  const parts: Part[] = []
  let from = 0
  for (const { 0: whole, 1: variable = "", index } of template.matchAll(named)) {
    if (index > from) parts.push({ text: template.slice(from, index) })
    parts.push({ variable })
    from = index + whole.length
  }
  if (from < template.length || parts.length === 0) parts.push({ text: template.slice(from) })
  return parts
}

/** The text for args and env of a container, where `$(NAME)` is a credential and `$$` one `$`. */
export const expandedText = (pieces: readonly Piece[]): string =>
  pieces.map((piece) => ("text" in piece ? piece.text.replaceAll("$", "$$$$") : `$(${piece.credential})`)).join("")

/** The text for a header, where `${NAME}` is a credential and `$$` one `$`. */
export const headerText = (pieces: readonly Piece[]): string =>
  pieces.map((piece) => ("text" in piece ? piece.text.replaceAll("$", "$$$$") : `\${${piece.credential}}`)).join("")

/** Longest text that a template may become, in characters: as long as the value of a variable (kinds/container). */
const longestText = 32_768

/** True if the text of the pieces is too long: a few characters of a template can stand for 4,096 each. */
export const isTooLong = (pieces: readonly Piece[]): boolean =>
  pieces.reduce((sum, piece) => sum + ("text" in piece ? piece.text : piece.credential).length, 0) > longestText

/** The text of pieces without credentials. */
export const literalText = (pieces: readonly Piece[]): string =>
  pieces.map((piece) => ("text" in piece ? piece.text : "")).join("")
