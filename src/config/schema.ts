import { z } from "zod"
import { durationPattern, parseDuration } from "../api/duration.ts"

/** A Go-style duration in the file, milliseconds in the program. */
const duration = (fallback: string, description: string) =>
  z
    .string()
    .regex(durationPattern, "must be a duration such as 30s, 10m or 1h30m")
    .transform((text, context) => {
      const ms = parseDuration(text)
      if (ms !== undefined) return ms
      context.addIssue({ code: "custom", message: "must be a duration such as 30s, 10m or 1h30m" })
      return z.NEVER
    })
    .prefault(fallback)
    .describe(description)

const sizeUnits: Readonly<Record<string, number>> = {
  "": 1,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
}
const sizePattern = /^([0-9]+)(KiB|MiB|GiB|KB|MB|GB)?$/

/** A size with a unit in the file, bytes in the program. */
const size = (fallback: string, description: string) =>
  z
    .string()
    .regex(sizePattern, "must be a size such as 4MiB or 256MiB")
    .transform((text) => {
      const [, amount, unit] = sizePattern.exec(text) ?? []
      return Number(amount) * (sizeUnits[unit ?? ""] ?? 1)
    })
    .prefault(fallback)
    .describe(description)

const listen = (fallback: string, description: string) =>
  z
    .string()
    .regex(/^(\[[0-9a-fA-F:]+\]|[^:[\]\s]+):([0-9]{1,5})$/, "must be HOST:PORT, e.g. 127.0.0.1:8080 or [::1]:8080")
    .default(fallback)
    .describe(description)

const strings = (description: string) => z.array(z.string().min(1)).default([]).describe(description)

const kubernetes = z.strictObject({
  enabled: z.boolean().default(true).describe("false = the embedded cluster, which --role dev uses."),
  namespace: z
    .string()
    .regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/, "must be a namespace's name")
    .default("reflow")
    .describe("Namespace of the MCPInstance objects."),
  kubeconfig: z.string().default("").describe("Path of a kubeconfig; empty = in-cluster."),
  idle_ttl: duration("30m", "Delete an instance after this time without use."),
  max_lifetime: duration("24h", "Replace an instance at this age."),
  gc_interval: duration("1m", "Longest time between two looks for what can be collected."),
  max_instances: z.int().min(1).max(100_000).default(100).describe("Most instances at once; the operator enforces it."),
  hold_timeout: duration("45s", "How long a request waits for a start; MCP clients give up after 60 s."),
  start_timeout: duration("10m", "How long a start may take before it counts as failed."),
  drain_timeout: duration("60s", "How long a drain waits for open calls."),
  stream_ttl: z
    .union([z.literal("").transform(() => undefined), duration("30m", "")])
    .prefault("")
    .describe("How long a stream without a call counts as use after its last byte; empty = idle_ttl."),
  evict_idle: z.boolean().default(true).describe("At the limit, drain the least recently used idle instance."),
  expose_subjects: z.boolean().default(true).describe("Write the readable subject into an annotation of the instance."),
  run_as_user: z
    .union([z.int().min(0).max(2_147_483_647), z.literal("").transform(() => undefined)])
    .default(65532)
    .describe("User and group of the servers; empty = the platform's choice (OpenShift)."),
  pod_security: z
    .enum(["restricted", "baseline", "privileged"])
    .default("restricted")
    .describe("Pod Security Standard that every Pod must meet."),
  cluster_cidrs: strings("Networks that instances may not reach, besides the private ranges."),
})

const gateway = z.strictObject({
  listen: listen("0.0.0.0:8080", "Address of MCP endpoints and REST API."),
  public_url: z
    .string()
    .regex(/^(https?:\/\/[^\s/?#]+)?$/, "must be an http(s) origin without a path, e.g. https://mcp.example.com")
    .default("")
    .describe("Origin under which clients reach the gateway; empty = http://localhost:<port>."),
  allowed_hosts: strings("Host headers to accept besides the public URL's and, on loopback, localhost."),
  allowed_origins: strings("Browser origins to accept besides the public URL's."),
  trusted_proxies: strings("Networks whose X-Forwarded-* headers are believed."),
  request_timeout: duration("15m", "How long a server may take until its answer begins."),
  session_lifetime: duration("24h", "How long a sealed session id can be used."),
  max_body: size("4MiB", "Largest request body."),
  max_waiting: z.int().min(1).max(1_000_000).default(10_000).describe("Most requests that wait for starts at once."),
  max_held: size("256MiB", "Most bytes of request bodies held by waiting requests."),
  keys_secret: z
    .string()
    .min(1)
    .max(253)
    .default("reflow-gateway-keys")
    .describe("Secret of the keys that seal session ids."),
})

const claims = z
  .strictObject({
    subject: z.string().min(1).default("sub"),
    email: z.string().min(1).default("email"),
    groups: z.string().min(1).default("groups"),
    roles: z.string().min(1).default("roles"),
  })
  .prefault({})
  .describe("Paths of the claims that make the identity, e.g. realm_access.roles.")

const issuer = z.strictObject({
  name: z
    .string()
    .regex(/^[a-z]([-a-z0-9]{0,30}[a-z0-9])?$/)
    .describe("Short name of the issuer, used in access lists."),
  issuer: z.string().min(1).describe("Value of the iss claim."),
  audiences: strings("Audiences to accept besides the target's and the public URL."),
  jwks_url: z.string().default("").describe("URL of the key set; empty = found by discovery at the issuer."),
  claims,
})

const staticToken = z.strictObject({
  name: z.string().min(1).max(128).describe("Name of the token in logs."),
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/, "must be 64 lower-case hex digits: printf %s TOKEN | sha256sum")
    .describe("SHA-256 of the token."),
  subject: z.string().min(1).max(1024).describe("Whose token it is."),
  roles: strings("Roles of the identity."),
  groups: strings("Groups of the identity."),
  for: z
    .array(z.enum(["mcp", "api"]))
    .min(1)
    .default(["mcp"])
    .describe("What the token opens: MCP endpoints, the REST API."),
})

const auth = z.strictObject({
  issuers: z.array(issuer).default([]).describe("OpenID issuers whose tokens are accepted."),
  tokens: z.array(staticToken).default([]).describe("Static tokens."),
  admin_roles: z
    .array(z.string().min(1))
    .default(["admin"])
    .describe("Roles that may administer through the REST API."),
})

const plugin = z.strictObject({
  path: z.string().min(1).describe("File of the plugin."),
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/, "must be 64 lower-case hex digits")
    .optional()
    .describe("Expected digest of the file."),
  config: z.record(z.string(), z.unknown()).default({}).describe("Configuration that the plugin's schema checks."),
})

const dev = z.strictObject({
  targets: strings("YAML files or folders of targets to load; empty = the examples that come with the program."),
  state_dir: z
    .string()
    .default("")
    .describe("Where the embedded default keeps its token key; empty = the user's state folder."),
})

/** The configuration file, every key with its default. */
export const configSchema = z.strictObject({
  kubernetes: kubernetes.prefault({}),
  gateway: gateway.prefault({}),
  auth: auth.prefault({}),
  plugins: z.array(plugin).default([]).describe("Plugins to load, in order."),
  log: z
    .strictObject({
      level: z.enum(["debug", "info", "warn", "error"]).default("info").describe("Least severe lines to write."),
      format: z.enum(["json", "text"]).default("json").describe("json for machines, text for people."),
    })
    .prefault({}),
  metrics: z
    .strictObject({ listen: listen("0.0.0.0:9090", "Address of /metrics, /healthz and /readyz.") })
    .prefault({}),
  dev: dev.prefault({}),
})

/** The effective configuration: durations in milliseconds, sizes in bytes, frozen. */
export type Config = z.output<typeof configSchema>
