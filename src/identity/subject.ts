/**
 * Longest subject, in UTF-16 code units. Issuers keep theirs far below: at most 255 ASCII characters (OpenID Connect
 * Core §2). The configuration bounds the subjects of static tokens by the same number.
 */
export const maxSubject = 1_024

/** Why a genuine credential names nobody: a part of a sentence that never repeats what the credential says. */
export type Nobody = { readonly nobody: string }

/**
 * Why a text cannot be a subject; undefined if it can. A text with half a surrogate pair has no UTF-8: every such half
 * becomes the same U+FFFD, and two users would be one.
 */
export const subjectFault = (subject: string): string | undefined => {
  if (!subject.isWellFormed()) return "its subject is no valid Unicode"
  if (subject.length > maxSubject) return `its subject is longer than ${maxSubject} characters`
  return subject === "" ? "its subject is empty" : undefined
}

/** The names of a list: what is no text, empty or no valid Unicode cannot name a group, a role or a scope. */
export const namesIn = (list: readonly unknown[]): readonly string[] => [
  ...new Set(list.filter((each) => typeof each === "string").filter((each) => each !== "" && each.isWellFormed())),
]
