import { Client as ClientV2, StreamableHTTPClientTransport as TransportV2 } from "@modelcontextprotocol/client"
import { Client as ClientV1 } from "@modelcontextprotocol/sdk/client/index.js"
import { StreamableHTTPClientTransport as TransportV1 } from "@modelcontextprotocol/sdk/client/streamableHttp.js"

/** What an MCP client remembers of its authorization, and where it sends its user. */
export type OAuthMemory = {
  readonly redirectUrl: string
  readonly clientMetadata: Record<string, unknown> & { redirect_uris: string[] }
  // biome-ignore lint/suspicious/noExplicitAny: the two libraries have types of their own for the same documents
  [member: string]: any
  /** Where the user was sent last. */
  sentTo: URL | undefined
}

/** An MCP client's memory for the authorization code flow with PKCE, as a public client that registers itself. */
export const oauthMemory = (): OAuthMemory => {
  const redirectUrl = "http://127.0.0.1:1/callback"
  const memory: OAuthMemory = {
    redirectUrl,
    clientMetadata: {
      client_name: "test",
      scope: "mcp",
      redirect_uris: [redirectUrl],
      application_type: "native",
      grant_types: ["authorization_code"],
      response_types: ["code"],
      token_endpoint_auth_method: "none",
    },
    sentTo: undefined,
    clientInformation: () => memory.information,
    saveClientInformation: (information: unknown) => {
      memory.information = information
    },
    tokens: () => memory.saved,
    saveTokens: (tokens: unknown) => {
      memory.saved = tokens
    },
    redirectToAuthorization: (url: URL) => {
      memory.sentTo = url
    },
    saveCodeVerifier: (verifier: string) => {
      memory.verifier = verifier
    },
    codeVerifier: () => memory.verifier,
  }
  return memory
}

const libraries = {
  "the 1.x client": { Client: ClientV1, Transport: TransportV1 },
  "the 2.x client": { Client: ClientV2, Transport: TransportV2 },
} as const

/** The MCP client libraries. */
export const oauthLibraries = Object.keys(libraries) as (keyof typeof libraries)[]

/**
 * What a person's MCP client does at a server that it has no token for: finds out who issues tokens, registers, sends its
 * user there (`login`, which resolves with what the user's browser brings back), and lists the tools with what it got. Resolves with the tools' names
 * and the access token.
 */
export const authorizeAndList = async (
  library: keyof typeof libraries,
  url: string,
  login: (url: URL) => Promise<URLSearchParams>,
): Promise<{ readonly tools: string[]; readonly token: string }> => {
  // biome-ignore lint/suspicious/noExplicitAny: both libraries are driven alike
  const { Client, Transport } = libraries[library] as any
  const authProvider = oauthMemory()
  const connect = async () => {
    const client = new Client({ name: "test", version: "1" })
    const transport = new Transport(new URL(url), { authProvider })
    try {
      await client.connect(transport)
      return { client, transport }
    } catch (error) {
      return { error, transport }
    }
  }
  const first = await connect()
  if (authProvider.sentTo === undefined)
    throw new Error("the client was not sent to a provider", { cause: first.error })
  const back = await login(authProvider.sentTo)
  await first.transport.finishAuth(library === "the 1.x client" ? back.get("code") : back)
  const { client, error } = await connect()
  if (client === undefined) throw error
  const { tools } = await client.listTools()
  await client.close()
  return { tools: tools.map((tool: { name: string }) => tool.name), token: authProvider.saved.access_token }
}
