/**
 * Control and format characters and line separators, as a pattern for `replaceAll`: commands to terminals, colours,
 * lines of their own and reversed text consist of them.
 */
export const misleading = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

/**
 * A text that somebody else chose, in a form that may stand in a message, an annotation or the log: at most `most`
 * characters (256 unless given), valid Unicode, with U+FFFD for each character that would mislead a reader. Takes time linear in `most`,
 * also for very long texts.
 */
export const readable = (text: string, most = 256): string =>
  [...text.slice(0, 2 * most)].slice(0, most).join("").toWellFormed().replaceAll(misleading, "\uFFFD")
