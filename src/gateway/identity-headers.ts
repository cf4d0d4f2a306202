import type { Identity } from "../identity/identity.ts"
import type { Admitted } from "./pipeline.ts"

/** Longest list, bytes: a longer one is cut between two entries, which can only take something away. */
const maxBytes = 4_096

/**
 * Text as a header value: printable ASCII as it is, all else and `%` and `,` percent-encoded as UTF-8 (RFC 3986 §2.1), so
 * that no value can end its header, or its place in a list.
 */
const encode = (text: string): string =>
  text
    .toWellFormed()
    .replace(/[^\x21-\x24\x26-\x2b\x2d-\x7e]/gu, (character) => encodeURIComponent(character).replace(",", "%2C"))

const list = (values: readonly string[]): string => {
  let text = ""
  for (const value of values) {
    const next = text === "" ? encode(value) : `${text},${encode(value)}`
    if (next.length > maxBytes) break
    text = next
  }
  return text
}

/**
 * Who is calling, as headers for a server whose target asks for them (spec.identityHeaders), as a flat list of names and
 * values. They are the caller's of this very request, so that a shared server can tell its users apart. A client cannot
 * send them: none of its headers but those of headers.ts goes on.
 */
export const identityHeaders = ({ issuer, subject, email, groups, roles }: Identity): string[] => [
  "x-reflow-issuer",
  encode(issuer),
  "x-reflow-subject",
  encode(subject),
  ...(email === undefined ? [] : ["x-reflow-email", encode(email)]),
  "x-reflow-groups",
  list(groups),
  "x-reflow-roles",
  list(roles),
]

const none: readonly string[] = []

/** {@link identityHeaders} of the caller if the target asks for them. */
export const identityHeadersFor = ({ target, identity }: Pick<Admitted, "target" | "identity">): readonly string[] =>
  target.spec.identityHeaders === true ? identityHeaders(identity) : none
