/**
 * Metadata for clients without a token: who issues tokens for the resource that they request (OAuth 2.0 Protected
 * Resource Metadata, RFC 9728; MCP authorization, revision 2025-06-18 and later).
 */
import { targetNamePattern } from "../api/names.ts"

/** Where metadata is served, before the resource's own path (RFC 9728 §3.1). */
export const metadataPath = "/.well-known/oauth-protected-resource"

/** The metadata of one resource (RFC 9728 §2). */
type ResourceMetadata = {
  /** URL of the resource, which is the audience of its tokens. */
  readonly resource: string
  readonly authorization_servers: readonly string[]
  readonly bearer_methods_supported: readonly string[]
  /** Scopes that a client may ask for; absent if no issuer has any. */
  readonly scopes_supported?: readonly string[]
  readonly resource_name: string
}

/** The resources that tokens of issuers open. */
export type ProtectedResources = {
  /** Metadata of the resource at a path of ours: `""`, `/api`, `/mcp/{target}`; undefined for other paths. */
  metadata(path: string): ResourceMetadata | undefined
  /** Where that metadata is served; undefined for other paths. */
  url(path: string): string | undefined
  /** The parameters of a Bearer challenge for the resource (RFC 9728 §5.1, RFC 6750 §3); undefined for other paths. */
  challenge(path: string): string | undefined
}

const mcpPath = "/mcp/"

/** Any well-formed name of a target counts: a client without a token must not find out which targets exist. */
const isResource = (path: string): boolean =>
  path === "" || path === "/api" || (path.startsWith(mcpPath) && targetNamePattern.test(path.slice(mcpPath.length)))

/**
 * Creates the resources of a gateway. Without issuers there are none, because no metadata could name an issuer of
 * tokens.
 */
export const createProtectedResources = (options: {
  readonly publicUrl: string
  /**
   * `issuer`: the `iss` claim of its tokens, which is the URL of the authorization server. `scopes`: those that clients
   * request there.
   */
  readonly issuers: readonly { readonly issuer: string; readonly scopes: readonly string[] }[]
}): ProtectedResources => {
  const { publicUrl } = options
  const issuers = options.issuers.map(({ issuer }) => issuer)
  // the scopes of issuers, never of a target: they would reveal that the target exists
  const scopes = [...new Set(options.issuers.flatMap((each) => each.scopes))]
  const isServed = (path: string) => issuers.length > 0 && isResource(path)
  const url = (path: string) => (isServed(path) ? `${publicUrl}${metadataPath}${path}` : undefined)
  return {
    metadata: (path) =>
      isServed(path)
        ? {
            resource: `${publicUrl}${path}`,
            authorization_servers: issuers,
            bearer_methods_supported: ["header"],
            ...(scopes.length === 0 ? {} : { scopes_supported: scopes }),
            resource_name: "Reflow Gateway",
          }
        : undefined,
    url,
    challenge: (path) => {
      const where = url(path)
      if (where === undefined) return undefined
      return `${scopes.length === 0 ? "" : `scope="${scopes.join(" ")}", `}resource_metadata="${where}"`
    },
  }
}
