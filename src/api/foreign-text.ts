/**
 * Control and format characters and line separators, as a pattern for `replaceAll`: they can control a terminal, start a
 * new line, or reverse text.
 */
export const misleading = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

/**
 * Untrusted text in a form for messages, annotations and the log: at most `most` characters (256 unless given), valid
 * Unicode, with U+FFFD for each character that could mislead a reader. Takes time linear in `most`,
 * also for very long texts.
 */
export const readable = (text: string, most = 256): string =>
  [...text.slice(0, 2 * most)].slice(0, most).join("").toWellFormed().replaceAll(misleading, "\uFFFD")
