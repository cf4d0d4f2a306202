/** The revisions of MCP that the gateway distinguishes. They are dates, so a later one compares as greater. */

/**
 * The revision with which the modern era began: each request names its version itself, in `params._meta`, and needs no
 * session.
 */
export const firstModern = "2026-07-28"

/** The newest revision of the legacy era, whose sessions open with `initialize`. */
export const newestLegacy = "2025-11-25"

/** The only revision with JSON-RPC batches; also the version of a request of the legacy era that names none. */
export const withBatches = "2025-03-26"

const revision = /^\d{4}-\d\d-\d\d$/

/** The era of MCP that a request belongs to: `modern` if its messages name the protocol version themselves. */
export type Era = "legacy" | "modern"

/** True for a revision of the modern era. */
export const isOfModernEra = (version: string): boolean => revision.test(version) && version >= firstModern
