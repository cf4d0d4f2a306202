import type { IncomingMessage, ServerResponse } from "node:http"
import { AppError } from "../errors.ts"
import { metadataPath, type ProtectedResources } from "../identity/protected-resources.ts"

/** How long clients may keep the metadata, seconds: it changes with the configuration only. */
const maxAgeSeconds = 300

/** The resource's path in the path of a metadata document; undefined if it is none. */
export const resourcePathIn = (url: string): string | undefined => {
  if (!url.startsWith(metadataPath)) return undefined
  const query = url.indexOf("?")
  const path = url.slice(metadataPath.length, query === -1 ? undefined : query)
  return path === "" || path.startsWith("/") ? path.replace(/\/$/, "") : undefined
}

/** Answers with the metadata of a resource (RFC 9728 §3.2), to everybody. Throws RouteNotFound and MethodNotAllowed. */
export const answerMetadata = (
  request: IncomingMessage,
  response: ServerResponse,
  about: { readonly path: string; readonly resources: ProtectedResources },
): void => {
  const metadata = about.resources.metadata(about.path)
  if (metadata === undefined) throw new AppError("RouteNotFound", { detail: "There is nothing at this path." })
  if (request.method !== "GET" && request.method !== "HEAD") {
    throw new AppError("MethodNotAllowed", { detail: "Metadata can only be read.", headers: { allow: "GET, HEAD" } })
  }
  const body = JSON.stringify(metadata)
  response.writeHead(200, {
    "content-type": "application/json",
    "content-length": String(Buffer.byteLength(body)),
    "cache-control": `public, max-age=${maxAgeSeconds}`,
  })
  response.end(request.method === "HEAD" ? undefined : body)
}
