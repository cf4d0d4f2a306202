/**
 * What a client without a token is told: who issues tokens for the resource that it wants (OAuth 2.0 Protected Resource
 * Metadata, RFC 9728; MCP authorization, revision 2025-06-18 and later).
 */
import { targetNamePattern } from "../api/names.ts"

/** Where metadata is served, before the resource's own path (RFC 9728 §3.1). */
export const metadataPath = "/.well-known/oauth-protected-resource"

/** The metadata of one resource (RFC 9728 §2). */
export type ResourceMetadata = {
  /** URL of the resource, which is the audience of its tokens. */
  readonly resource: string
  readonly authorization_servers: readonly string[]
  readonly bearer_methods_supported: readonly string[]
  readonly resource_name: string
}

/** The resources that tokens of issuers open. */
export type ProtectedResources = {
  /** Metadata of the resource at a path of ours: `""`, `/api`, `/mcp/{target}`; undefined for other paths. */
  metadata(path: string): ResourceMetadata | undefined
  /** Where that metadata is served; undefined for other paths. */
  url(path: string): string | undefined
}

const mcpPath = "/mcp/"

/** Any well-formed name counts: which targets exist is nobody's business before they are known. */
const isResource = (path: string): boolean =>
  path === "" || path === "/api" || (path.startsWith(mcpPath) && targetNamePattern.test(path.slice(mcpPath.length)))

/** Makes the resources of a gateway. Without issuers there are none: nobody could be sent anywhere for a token. */
export const createProtectedResources = (options: {
  readonly publicUrl: string
  /** Values of their `iss` claim, which are the URLs of the authorization servers. */
  readonly issuers: readonly string[]
}): ProtectedResources => {
  const { publicUrl, issuers } = options
  const isServed = (path: string) => issuers.length > 0 && isResource(path)
  return {
    metadata: (path) =>
      isServed(path)
        ? {
            resource: `${publicUrl}${path}`,
            authorization_servers: issuers,
            bearer_methods_supported: ["header"],
            resource_name: "Reflow Gateway",
          }
        : undefined,
    url: (path) => (isServed(path) ? `${publicUrl}${metadataPath}${path}` : undefined),
  }
}
