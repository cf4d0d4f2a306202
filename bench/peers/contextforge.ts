/** ContextForge: a gateway with users, roles, a database and a registry of servers. */
import { randomUUID } from "node:crypto"
import { join } from "node:path"
import { SignJWT } from "jose"
import type { Peer, Scene } from "./peer.ts"
import { pins } from "./pin.ts"

const admin = "admin@example.com"
const callMs = 30_000

/**
 * Its variables. Left at their defaults are the log (errors only), the database (SQLite) and stateless answers in JSON.
 * Not at the default are the limit of requests per minute, which is off, and the ban on servers on loopback addresses.
 */
const variables = ({ scratch, secret }: Scene): Readonly<Record<string, string>> => ({
  DATABASE_URL: `sqlite:///${join(scratch, "gateway.db")}`,
  CACHE_TYPE: "memory",
  JWT_SECRET_KEY: secret,
  AUTH_ENCRYPTION_SECRET: [...secret].reverse().join(""),
  PLATFORM_ADMIN_EMAIL: admin,
  PLATFORM_ADMIN_PASSWORD: `Aa1!${secret}`,
  DEFAULT_USER_PASSWORD: `Bb2!${secret}`,
  BASIC_AUTH_PASSWORD: `Cc3!${secret}`,
  SSRF_ALLOW_LOCALHOST: "true",
  SSRF_ALLOW_PRIVATE_NETWORKS: "true",
  RATE_LIMITING_ENABLED: "false",
})

/** A token like those of its own command `create_jwt_token`. */
const sign = (secret: string): Promise<string> =>
  new SignJWT({ username: admin })
    .setProtectedHeader({ alg: "HS256", typ: "JWT" })
    .setSubject(admin)
    .setIssuer("mcpgateway")
    .setAudience("mcpgateway-api")
    .setJti(randomUUID())
    .setIssuedAt()
    .setExpirationTime("6h")
    .sign(new TextEncoder().encode(secret))

export const contextForge: Peer = {
  name: "contextforge",
  pin: pins.contextForge,
  reaches: "HTTP",
  does: "checks a token, roles and a database; no sessions; parses and validates each message; three requests to the server for each call",
  launch: async (scene) => {
    const { installed, port, upstream, scratch, secret } = scene
    const origin = `http://127.0.0.1:${port}`
    const headers = { authorization: `Bearer ${await sign(secret)}` }
    return {
      process: {
        command: join(installed, "bin/mcpgateway"),
        args: ["--host", "127.0.0.1", "--port", String(port), "--no-access-log"],
        env: variables(scene),
        cwd: scratch,
        ready: { url: `${origin}/health`, status: 200 },
        readyMs: 120_000,
      },
      url: `${origin}/mcp`,
      headers,
      enrol: async (signal) => {
        const response = await fetch(`${origin}/gateways`, {
          method: "POST",
          headers: { ...headers, "content-type": "application/json" },
          body: JSON.stringify({ name: "bench", url: upstream, transport: "STREAMABLEHTTP" }),
          signal: AbortSignal.any([signal, AbortSignal.timeout(callMs)]),
        })
        await response.body?.cancel()
        if (!response.ok) throw new Error(`its registry answered ${response.status} to the server`)
      },
    }
  },
}
