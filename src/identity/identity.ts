/** What a credential is used for: MCP endpoints or the REST API. */
export type Purpose = "mcp" | "api"

/**
 * Who is calling, from a verified credential. The subject alone is never an identity: `(source, issuer, subject)` is.
 * Equal subjects of two issuers, or of a static token and an issuer, are two users.
 */
export type Identity = {
  /** How the credential was verified: `token` = static token by its digest, `jwt` = by its signature. */
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
  /** False: the credential gives no administrator rights, whatever the roles are. */
  readonly administers?: false
  /** When the caller's credential expires, milliseconds since the epoch; absent if it never does. */
  readonly expiresAtMs?: number
}

/**
 * What a credential gives access to. Our own tokens name the purposes. A token of an issuer names the audiences that it
 * was made for (`aud`, RFC 7519 §4.1.3); `also` are those that the configuration accepts besides our URLs.
 */
export type Opens =
  | { readonly by: "purpose"; readonly purposes: ReadonlySet<Purpose> }
  | {
      readonly by: "audience"
      readonly audiences: readonly string[]
      readonly also: Readonly<Record<Purpose, readonly string[]>>
      /** True: a token for all MCP endpoints also opens the REST API, without administrator rights. */
      readonly mcpOpensApi: boolean
    }

/** A credential that was found genuine. */
export type VerifiedToken = {
  readonly identity: Identity
  readonly opens: Opens
  /** When the credential becomes valid, milliseconds since the epoch; absent if it always was. */
  readonly notBeforeMs?: number
}

/**
 * The name under which the resources that a caller holds are counted: source, issuer and subject together, never one of
 * them alone. Unambiguous, since neither a source nor a configured issuer's name has a slash. For memory only, because
 * it has the subject in clear text.
 */
export const ownerOf = ({ source, issuer, subject }: Identity): string => `${source}/${issuer}/${subject}`
