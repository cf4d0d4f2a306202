/** Longest reason of a plugin that a user reads, in characters. */
export const longestReason = 500

/**
 * A plugin's words as a user may read them: one line of valid Unicode without characters that steer a terminal, at most
 * {@link longestReason} long. Linear in what is kept.
 */
export const cleanReason = (text: string): string => {
  // what is taken away must not make a long text look whole
  const begin = text.slice(0, 4 * longestReason)
  const line = begin
    .toWellFormed()
    .replaceAll(/[\p{Cc}\p{Zl}\p{Zp}\p{Zs}]+/gu, " ")
    .replaceAll(/\p{Cf}/gu, "")
    .trim()
  const kept = [...line]
  const isWhole = begin.length === text.length && kept.length <= longestReason
  return isWhole ? line : `${kept.slice(0, longestReason - 1).join("")}…`
}
