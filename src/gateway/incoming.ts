import { randomUUID } from "node:crypto"
import type { IncomingHttpHeaders } from "node:http"
import { AppError } from "../errors.ts"

/** The verbs of Streamable HTTP. */
export type Verb = "POST" | "GET" | "DELETE"

/** Where a client is, by a trusted proxy in front or by the connection. */
export type ClientOrigin = { readonly address: string; readonly host: string; readonly protocol: "http" | "https" }

/** An MCP request as it came in: plain facts, of which nothing is believed yet. Its body stands apart; see body.ts. */
export type Incoming = {
  /** Our own name of the request: in the answer's x-request-id and in the log. */
  readonly requestId: string
  /** Wall-clock time in milliseconds. */
  readonly receivedAt: number
  readonly verb: Verb
  /** From the path; may be anything. */
  readonly targetName: string
  /** By lower-case name. */
  readonly headers: IncomingHttpHeaders
  readonly origin: ClientOrigin
  /** Aborted when the client goes away or the gateway gives up on the request. */
  readonly signal: AbortSignal
}

/** A name for a request. */
export const newRequestId = (): string => randomUUID()

const verbs: readonly string[] = ["POST", "GET", "DELETE"]
const isVerb = (method: string | undefined): method is Verb => method !== undefined && verbs.includes(method)

/** Path of MCP endpoints, before the target's name. */
export const mcpPrefix = "/mcp/"

/** The target's name in a path such as `/mcp/github?x` or `/mcp/github/`; undefined if the path is no MCP endpoint. */
export const targetNameIn = (url: string): string | undefined => {
  if (!url.startsWith(mcpPrefix)) return undefined
  const query = url.indexOf("?")
  const path = url.slice(mcpPrefix.length, query === -1 ? undefined : query)
  const name = path.endsWith("/") ? path.slice(0, -1) : path
  return name === "" || name.includes("/") ? undefined : name
}

/**
 * Takes in a request to `/mcp/{target}`. Throws RouteNotFound for other paths and MethodNotAllowed for other verbs.
 */
export const receive = (
  { method, url = "" }: { readonly method?: string | undefined; readonly url?: string | undefined },
  facts: Omit<Incoming, "verb" | "targetName">,
): Incoming => {
  const targetName = targetNameIn(url)
  if (targetName === undefined) throw new AppError("RouteNotFound", { detail: "There is nothing at this path." })
  if (!isVerb(method)) {
    throw new AppError("MethodNotAllowed", {
      detail: `MCP endpoints do not take ${method}.`,
      headers: { allow: "GET, POST, DELETE" },
    })
  }
  return { ...facts, verb: method, targetName }
}
