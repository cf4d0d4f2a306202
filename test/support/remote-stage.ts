/** Three gateways and a server that somebody else runs: what the tests of remote targets have in common. */
import type { TelemetryPort } from "../../src/ports/telemetry.ts"
import { makeCA, type TestCA } from "./certificates.ts"
import { type Gateways, startGateways } from "./gateways.ts"
import { answerOf, callTool } from "./modern.ts"
import { quietTelemetry } from "./quiet-telemetry.ts"
import { initialize, post } from "./reflow.ts"
import { type AccountServer, caSecret, remoteTarget, startAccountServer } from "./remote-peers.ts"

/** Gateways, a server with a certificate of a test CA, and what a test asks of them. */
export type RemoteStage = {
  readonly gateways: Gateways
  readonly server: AccountServer
  readonly ca: TestCA
  /** The endpoint of a target at one of the gateways, or at whichever comes next. */
  at(target: string, replica?: number): string
  /** Sets values of a scope (default: `me`, with this token) by the REST API of one of the gateways. */
  set(target: string, values: object, how: { token?: string; scope?: string; replica?: number }): Promise<void>
  close(): Promise<void>
}

/** What the tests set of it. */
export type RemoteStageOptions = {
  readonly accounts: Readonly<Record<string, string>>
  /** Specs of the targets by name. The Secret `test-ca` has the CA of the server's certificate. */
  readonly targets: (url: string) => Readonly<Record<string, object>>
  readonly telemetry?: () => TelemetryPort
  readonly count?: number
}

/** Starts all of it. Close it. */
export const startRemoteStage = async (options: RemoteStageOptions): Promise<RemoteStage> => {
  const { accounts, targets, telemetry = quietTelemetry, count = 3 } = options
  const ca = makeCA()
  const server = await startAccountServer({ accounts, tls: ca.issue(["127.0.0.1", "localhost"]) })
  const documents = Object.entries(targets(server.url)).map(([name, spec]) => remoteTarget(name, spec))
  const yaml = caSecret("test-ca", ca.cert) + documents.join("")
  const gateways = await startGateways(count, yaml, telemetry).catch(async (error) => {
    await server.close()
    throw error
  })
  const urlOf = (replica: number | undefined): string =>
    (replica === undefined ? undefined : gateways.urls[replica]) ?? gateways.balancer.url
  return {
    gateways,
    server,
    ca,
    at: (target, replica) => `${urlOf(replica)}/mcp/${target}`,
    set: async (target, values, { token, scope = "me", replica }) => {
      const how = { url: urlOf(replica), ...(token === undefined ? {} : { token }) }
      const { status, body } = await gateways.api("PUT", `/targets/${target}/env/${scope}`, values, how)
      if (status !== 200) throw new Error(`PUT of ${scope}: ${status} ${JSON.stringify(body)}`)
    },
    close: async () => {
      await gateways.close()
      await server.close()
    },
  }
}

/** What a tool answers, with the error of JSON-RPC if it is one: a text, or `CODE: message`. */
export const said = async (
  url: string,
  token: string,
  tool = "whoami",
  args: Readonly<Record<string, unknown>> = {},
): Promise<string> => {
  const { result, error } = await answerOf(await callTool(url, token, tool, args))
  return error === undefined ? result.content[0].text : `${error.data?.code}: ${error.message}`
}

/** Requests of both eras that a server answers, each with id 1, and those that are no requests. */
export const requests = {
  "a tool call of the modern era": (url: string, token: string) => callTool(url, token, "whoami"),
  "an initialize of the legacy era": (url: string, token: string) => post(url, token, initialize()),
} as const

const headersOf = (token: string) => ({ authorization: `Bearer ${token}`, accept: "text/event-stream" })

/** What a client sends and expects no answer to that has an id. */
export const withoutId = {
  "a GET": (url: string, token: string) => fetch(url, { headers: headersOf(token) }),
  "a DELETE": (url: string, token: string) => fetch(url, { method: "DELETE", headers: headersOf(token) }),
  "a notification": (url: string, token: string) =>
    post(url, token, { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 9 } }),
} as const
