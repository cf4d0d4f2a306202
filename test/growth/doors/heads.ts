import { createHmac } from "node:crypto"
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http"
import { ensurePreconditions } from "../../../src/admin/if-match.ts"
import { checkQuery, toPage } from "../../../src/admin/page.ts"
import type { KubeObject } from "../../../src/api/kinds/kind.ts"
import { clientOrigin, trustNetworks } from "../../../src/door/front-door.ts"
import { createGuard, isNormalPath } from "../../../src/door/guard.ts"
import { checkMedia } from "../../../src/gateway/incoming.ts"
import { createSealer } from "../../../src/gateway/session/session.ts"
import { toUpstreamHeaders } from "../../../src/gateway/wire/call-server.ts"
import { createAccess } from "../../../src/identity/access.ts"
import { createAuthenticator } from "../../../src/identity/authenticate.ts"
import { identityOf } from "../../../src/identity/claims.ts"
import { createDevTokens } from "../../../src/identity/own-tokens.ts"
import { essenceOf } from "../../../src/intake/media-type.ts"
import { checkHeaders } from "../../../src/mcp/mirrored-headers.ts"
import { aTarget } from "../../support/build/target.ts"
import { quietTelemetry } from "../../support/quiet-telemetry.ts"
import type { Door, Family } from "../family.ts"

/** Node's maxHeaderSize here; see door/front-door.ts. */
const largest = 32 * 2 ** 10 - 64
/** A head is read so often, so that what it costs can be measured at all. */
const times = 200

const head = <T>(name: string, input: (size: number) => T, read: (value: T) => unknown): Family => ({
  name,
  largest,
  times,
  make: (size) => {
    const value = input(size)
    return () => read(value)
  },
})

const clock = { now: () => 0, sleep: async () => {}, timer: () => () => {} }
const access = createAccess({ issuers: ["corp", "other"], adminRoles: [] })
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

const preflight = (value: string) => {
  const headers = {
    origin: "https://mcp.example",
    "access-control-request-method": "POST",
    "access-control-request-headers": value,
  }
  const response = { setHeader: () => {}, writeHead: () => {}, end: () => {} } as unknown as ServerResponse
  guard.cors({ method: "OPTIONS", headers } as unknown as IncomingMessage, response)
}

const trusts = trustNetworks(["10.0.0.0/8", "fd00::/8"])
const forwarded = (value: string) =>
  clientOrigin(
    { socket: { remoteAddress: "10.0.0.1" }, headers: { "x-forwarded-for": value } } as unknown as IncomingMessage,
    trusts,
  )

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url")
const key = Buffer.alloc(32, 7)
/** A genuine token of at most half a head, with as much of `filling` in its claims as fits into `size`. */
const tokenOf = (size: number, filling: (bytes: number) => object): string => {
  const bytes = Math.max(1, Math.floor((size / 2) * 0.7) - 200)
  const signed = `${part({ alg: "HS256" })}.${part({ iss: "dev", sub: "a", exp: 1, ...filling(bytes) })}`
  return `${signed}.${createHmac("sha256", key).update(signed).digest("base64url")}`
}
const verify = createDevTokens(key)
const paths = { subject: "sub", email: "email", groups: "groups", roles: "roles" }
/** What an issuer's token says once its signature was checked. */
const claims = (token: string) =>
  identityOf(JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()), paths, "corp")

const many = (bytes: number, each: string): string[] => Array.from({ length: bytes / (each.length + 3) }, () => each)
const numbered = (bytes: number): string[] => Array.from({ length: bytes / 8 }, (_, index) => String(10_000 + index))

const names = (size: number): IncomingHttpHeaders =>
  Object.fromEntries(Array.from({ length: size / 20 }, (_, index) => [`mcp-param-${index}`, "eu"]))
const query = (value: string) => {
  const { searchParams } = new URL(value, "http://x")
  checkQuery(searchParams, ["limit", "continue"])
  toPage([], searchParams)
}
const versions = (name: string) => (value: string) =>
  ensurePreconditions(new Headers({ [name]: value }), { metadata: { name: "x", generation: 1 } } as KubeObject)
const ifMatch = versions("if-match")
const ifNoneMatch = versions("if-none-match")

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
      {
        name: "groups of a token against an access list",
        // as many as a token of 16 KiB has
        largest: 4_000,
        times,
        make: (size) => {
          const caller = { ...identity, groups: Array.from({ length: size }, (_, at) => `g${at}`) }
          const groups = Array.from({ length: 100 }, (_, at) => `corp/x${at}`)
          const target = aTarget({ spec: { access: { groups } } })
          return () => access.mayUse(target, caller)
        },
      },
      head(
        "names in Connection",
        (size) => "a,".repeat(size / 2),
        (value) =>
          toUpstreamHeaders({ connection: value, accept: "*/*", "user-agent": "x" }, { session: undefined, origin }),
      ),
      head(
        "names in Connection and as many headers",
        (size) => ({
          ...names(size / 2),
          connection: Object.keys(names(size / 2))
            .reverse()
            .join(),
        }),
        (headers) => toUpstreamHeaders(headers, { session: undefined, origin, mirrored: "call" }),
      ),
      head(
        "a Last-Event-ID",
        (size) => "a,".repeat(size / 2),
        (value) => toUpstreamHeaders({ "last-event-id": value }, { session: undefined, origin }),
      ),
      head(
        "a protocol version",
        (size) => "2".repeat(size),
        (value) => checkHeaders({ "mcp-protocol-version": value }, []),
      ),
      head("commas in a preflight", (size) => ",".repeat(size), preflight),
      head("names in a preflight", (size) => "mcp-param-a,".repeat(size / 12), preflight),
      head("one name in a preflight", (size) => `mcp-param-${"-".repeat(size)}!`, preflight),
      head("trusted addresses in X-Forwarded-For", (size) => "10.1.1.1,".repeat(size / 9), forwarded),
      head("commas in X-Forwarded-For", (size) => ",".repeat(size), forwarded),
      head("one address in X-Forwarded-For", (size) => "1".repeat(size), forwarded),
      head("a token of groups", (size) => tokenOf(size, (bytes) => ({ groups: numbered(bytes) })), verify),
      head("a token of equal groups", (size) => tokenOf(size, (bytes) => ({ groups: many(bytes, "a") })), verify),
      head("a token of one subject", (size) => tokenOf(size, (bytes) => ({ sub: "a".repeat(bytes) })), verify),
      head("claims of blanks as scope", (size) => tokenOf(size, (bytes) => ({ scope: " ".repeat(bytes) })), claims),
      head("claims of groups", (size) => tokenOf(size, (bytes) => ({ groups: numbered(bytes) })), claims),
      head("a query of unknown parameters", (size) => `/api/targets?${"a&".repeat(size / 2)}`, query),
      head("a query of one parameter", (size) => `/api/targets?${"limit=1&".repeat(size / 8)}`, query),
      head("a query of digits", (size) => `/api/targets?limit=${"1".repeat(size)}`, query),
      head("a query of escapes", (size) => `/api/targets?continue=${"%61".repeat(size / 3)}`, query),
      head("tags in If-Match", (size) => '"2",'.repeat(size / 4), ifMatch),
      head("tags in If-None-Match", (size) => '"2",'.repeat(size / 4), ifNoneMatch),
      head("a server's Content-Type of escapes", (size) => `a/b;${'"\\"'.repeat(size / 4)}"`, essenceOf),
    ],
  },
]
