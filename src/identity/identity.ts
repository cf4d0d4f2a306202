/** What a credential opens: MCP endpoints or the REST API. */
export type Purpose = "mcp" | "api"

/**
 * Who is calling, from a verified credential. The subject alone is never an identity: `(source, issuer, subject)` is.
 * Equal subjects of two issuers, or of a static token and an issuer, are two users.
 */
export type Identity = {
  /** How it was verified. */
  readonly source: "token" | "jwt"
  /** Short name of the issuer in the configuration; `static` for static tokens, `dev` for tokens of the embedded default. */
  readonly issuer: string
  readonly subject: string
  readonly email?: string
  readonly groups: readonly string[]
  readonly roles: readonly string[]
  /** OAuth scopes of the token. */
  readonly scopes: readonly string[]
  /** All verified claims, for plugins; empty for static tokens. */
  readonly claims: Readonly<Record<string, unknown>>
}

/** A credential that was found genuine. */
export type VerifiedToken = {
  readonly identity: Identity
  /** What it opens. */
  readonly purposes: ReadonlySet<Purpose>
  /** When it expires, in milliseconds since the epoch; absent for static tokens, which never do. */
  readonly expiresAtMs?: number
}
