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
  /** False: the credential was not made to administer, whatever the roles say. */
  readonly administers?: false
  /** When the credential expires by which the caller is known, in milliseconds since the epoch; absent if it never does. */
  readonly expiresAtMs?: number
}

/**
 * What a credential opens. Our own tokens say it themselves. A token of an issuer names the audiences that it was made
 * for (`aud`, RFC 7519 §4.1.3); `also` are those that the configuration accepts besides our URLs.
 */
export type Opens =
  | { readonly by: "purpose"; readonly purposes: ReadonlySet<Purpose> }
  | {
      readonly by: "audience"
      readonly audiences: readonly string[]
      readonly also: Readonly<Record<Purpose, readonly string[]>>
      /** True: what opens all MCP endpoints opens the REST API too, but not to administer. */
      readonly mcpOpensApi: boolean
    }

/** A credential that was found genuine. */
export type VerifiedToken = {
  readonly identity: Identity
  readonly opens: Opens
  /** Before this it is not valid yet, in milliseconds since the epoch. */
  readonly notBeforeMs?: number
}

/**
 * Names a caller where what he holds is counted: source, issuer and subject together, never one of them alone. Unambiguous,
 * since neither a source nor a configured issuer's name has a slash. For memory only: it has the subject in clear.
 */
export const ownerOf = ({ source, issuer, subject }: Identity): string => `${source}/${issuer}/${subject}`
