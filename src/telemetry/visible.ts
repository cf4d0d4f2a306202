/** All that a line needs: printable ASCII. */
const plain = /^[ -~]*$/
/** Control and format characters and line separators: of them consist commands to terminals, colours, writing turned around. */
const misleading = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

const escapeUnit = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`

/**
 * A text with all that controls or misleads a screen written as JSON escapes it, so that a logged name cannot write lines or
 * colours of its own; of a JSON text the same value.
 */
export const visible = (text: string): string =>
  plain.test(text)
    ? text
    : text.replace(misleading, (each) => (each === "\n" ? "\\n" : each.split("").map(escapeUnit).join("")))
