import type { IncomingHttpHeaders, IncomingMessage } from "node:http"
import { checkMedia } from "../../../src/gateway/body.ts"
import { createGuard, isNormalPath } from "../../../src/gateway/guard.ts"
import { toUpstreamHeaders } from "../../../src/gateway/headers.ts"
import { checkHeaders } from "../../../src/gateway/mirrored-headers.ts"
import { createSealer } from "../../../src/gateway/session.ts"
import { createAuthenticator } from "../../../src/identity/authenticate.ts"
import { quietTelemetry } from "../../support/quiet-telemetry.ts"
import type { Door, Family } from "../family.ts"

/** Node's maxHeaderSize here; see gateway/server.ts. */
const largest = 32 * 2 ** 10 - 64
/** A head is read so often, so that what it costs can be measured at all. */
const times = 200

const head = (name: string, text: (size: number) => string, read: (text: string) => unknown): Family => ({
  name,
  largest,
  make: (size) => {
    const value = text(size)
    return async () => {
      for (let time = 0; time < times; time++) {
        try {
          await read(value)
        } catch {
          // refused
        }
      }
    }
  },
})

const clock = { now: () => 0, sleep: async () => {}, timer: () => () => {} }
const guard = createGuard({ publicUrl: "https://mcp.example", allowedHosts: [], allowedOrigins: [], loopback: true })
const check = (headers: IncomingHttpHeaders, host = "mcp.example") =>
  guard.check({ url: "/mcp/x", headers, rawHeaders: ["host", host] } as unknown as IncomingMessage)
const { authenticate } = createAuthenticator({ tokens: [], clock, telemetry: quietTelemetry() })
const sealer = createSealer({
  keys: {
    current: () => ({ id: "00c0ffee", secret: Buffer.alloc(32) }),
    find: () => undefined,
    lookUp: async () => undefined,
  },
  now: () => 0,
  lifetimeMs: 1,
})
const identity = { source: "jwt", issuer: "corp", subject: "a", groups: [], roles: [], scopes: [], claims: {} } as const
const message = { kind: "request", method: "tools/call", params: { name: "x" }, version: "2026-07-28" } as const
const mirrored = (value: string) =>
  checkHeaders({ "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": value }, [message])
const origin = { address: "", host: "", protocol: "http" } as const

const media = (value: string) => checkMedia({ "content-type": value })
const accept = (value: string) => checkMedia({ "content-type": "application/json", accept: value })

export const doors: readonly Door[] = [
  {
    name: "head of a request",
    limit: "32 KiB; 16 KiB for the token, 6 KiB for a session id",
    families: [
      head("Content-Type of empty parameters", (size) => `application/json${"; ".repeat(size / 2)}!`, media),
      head("Content-Type of blanks", (size) => `application/json;${" ".repeat(size)}!`, media),
      head("Content-Type of parameters", (size) => `application/json${";a=b".repeat(size / 4)}!`, media),
      head(
        "Content-Type of a quoted string without an end",
        (size) => `application/json;a="${"\\a".repeat(size / 2)}`,
        media,
      ),
      head("Accept of commas", (size) => ",".repeat(size), accept),
      head("Accept of blanks", (size) => `a/b;${" ".repeat(size)}x`, accept),
      head("Accept of types", (size) => `${"a/b, ".repeat(size / 5)}x`, accept),
      head("a path of slashes", (size) => `/mcp${"/a".repeat(size / 2)}!`, isNormalPath),
      head("a path of dots", (size) => `/mcp/${".".repeat(size)}!`, isNormalPath),
      head("a path of escapes", (size) => `/api/targets/a/env/b/${"%2f".repeat(size / 3)}`, isNormalPath),
      head(
        "a host of digits",
        (size) => `a:${"1".repeat(size)}x`,
        (value) => check({}, value),
      ),
      head(
        "an origin of letters",
        (size) => `http://${"a".repeat(size)}`,
        (value) => check({ origin: value }),
      ),
      head(
        "a token of dots",
        (size) => `Bearer ${".".repeat(size / 2)}`,
        (value) => authenticate({ authorization: value, purpose: "mcp", resource: "/mcp/x" }),
      ),
      head(
        "a token of equals signs",
        (size) => `Bearer ${"=".repeat(size / 2)}!`,
        (value) => authenticate({ authorization: value, purpose: "mcp", resource: "/mcp/x" }),
      ),
      head(
        "a session id",
        (size) => "a".repeat(size),
        (value) => sealer.open({ identity, targetUID: "u" }, value),
      ),
      head("a mirrored name in base64", (size) => `=?base64?${"QQ==".repeat(size / 4)}?=`, mirrored),
      head("a mirrored name of many marks", (size) => "=?base64?".repeat(size / 9), mirrored),
      head(
        "names in Connection",
        (size) => "a,".repeat(size / 2),
        (value) =>
          toUpstreamHeaders({ connection: value, accept: "*/*", "user-agent": "x" }, { session: undefined, origin }),
      ),
    ],
  },
]
