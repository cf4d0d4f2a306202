/** The revisions of MCP that decide something here. They are dates, so a later one compares as greater. */

/** The revision with which the modern era began: each request names its version itself, in `params._meta`, and stands alone. */
export const firstModern = "2026-07-28"

/** The newest revision of the legacy era, whose sessions open with `initialize`. */
export const newestLegacy = "2025-11-25"

/** The only revision with JSON-RPC batches; also what a request of the legacy era speaks that names no version. */
export const withBatches = "2025-03-26"

const revision = /^\d{4}-\d\d-\d\d$/

/** Which era of MCP a request is of: `modern` if its messages name the protocol version themselves. */
export type Era = "legacy" | "modern"

/** True for a revision of the modern era. */
export const isOfModernEra = (version: string): boolean => revision.test(version) && version >= firstModern
