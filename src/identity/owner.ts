import type { Identity } from "./identity.ts"

/**
 * Names a caller where what he holds is counted: source, issuer and subject together, never one of them alone. Unambiguous,
 * since neither a source nor a configured issuer's name has a slash. For memory only: it has the subject in clear.
 */
export const ownerOf = ({ source, issuer, subject }: Identity): string => `${source}/${issuer}/${subject}`
