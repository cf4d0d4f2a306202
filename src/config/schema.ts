import { z } from "zod"
import { bridge } from "./bridge.ts"
import { packages } from "./packages.ts"
import { remote } from "./remote.ts"
import { claimPath, duration, durationText, listen, listenText, networks, size, strings } from "./values.ts"

/** The roles of a process (`--role`): gateway, operator, both, or both on the embedded cluster. */
export const roles = ["gateway", "operator", "all", "dev"] as const
export type Role = (typeof roles)[number]

/**
 * Pod settings that a pod template may use only if kubernetes.allow_in_pods lists them; `rootGroup` limits targets too.
 */
export const podFreedoms = [
  "hostPath",
  "hostNetwork",
  "hostPID",
  "hostIPC",
  "hostPorts",
  "privileged",
  "capabilities",
  "serviceAccountToken",
  "otherSecrets",
  "otherContainers",
  "otherVolumes",
  "nodeName",
  "scheduling",
  "priority",
  "tolerations",
  "resourceClaims",
  "supplementalGroups",
  "rootGroup",
] as const

const kubernetes = z.strictObject({
  enabled: z.boolean().default(true).describe("false = the embedded cluster, which --role dev uses."),
  namespace: z
    .string()
    .regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/)
    .default("reflow")
    .meta({ description: "Namespace of targets, instances and credentials.", allowed: "a namespace's name" }),
  kubeconfig: z.string().default("").describe("Path of a kubeconfig; empty = in-cluster."),
  idle_ttl: duration("30m", "Delete an instance after this time without use."),
  max_lifetime: duration("24h", "Replace an instance at this age."),
  gc_interval: duration(
    "1m",
    "Time between two checks for Pods and Services without an owner, and of the clock. Every instance is reconciled within ten of them.",
  ),
  max_instances: z.int().min(1).max(100_000).default(100).describe("Most instances at once; the operator enforces it."),
  hold_timeout: duration(
    "45s",
    "How long a request waits for its instance to start. Many MCP clients give up after 15 to 60 s (docs/clients.md).",
  ),
  start_timeout: duration("10m", "How long a start may take before it counts as failed."),
  drain_timeout: duration("60s", "How long a drain waits for open calls.", 0),
  stream_ttl: z
    .union([z.literal("").transform(() => undefined), duration("30m", "")])
    .prefault("")
    .meta({
      description: "How long a stream without a call counts as use after its last byte; empty = idle_ttl.",
      allowed: `${durationText}, or empty`,
    }),
  evict_idle: z.boolean().default(true).describe("At the limit, drain the least recently used idle instance."),
  expose_subjects: z.boolean().default(true).describe("Write the readable subject into an annotation of the instance."),
  bridge: bridge.prefault({}),
  packages: packages.prefault({}),
  run_as_user: z
    .union([
      z.int().min(0).max(2_147_483_647),
      z.literal("").transform(() => undefined),
      z.null().transform(() => undefined),
    ])
    .prefault(65532)
    .meta({
      description: "User and group of the servers; empty or null = the platform's choice (OpenShift).",
      allowed: "a whole number from 0 to 2147483647, or empty",
    }),
  allow_in_pods: z
    .array(z.enum(podFreedoms))
    .default([])
    .meta({
      description:
        "Pod settings that pod templates may use although they lower isolation; rootGroup also allows targets to run as group 0.",
      allowed: `a list of ${podFreedoms.join(", ")}`,
    }),
  pod_security: z
    .enum(["restricted", "baseline", "privileged"])
    .default("restricted")
    .describe("Pod Security Standard that every Pod must meet."),
  cluster_cidrs: networks(
    "Networks with public addresses that instances must not reach; `npm run generate` writes them into the NetworkPolicies.",
  ),
})

const originPattern = /^https?:\/\/[^\s/?#@]+$/
/** The origin of a page, or of an extension (`chrome-extension://ID`). */
const anyOriginPattern = /^[a-z][a-z0-9+.-]*:\/\/[^\s/?#@]+$/
const originText = "an http(s) origin without a path, e.g. https://mcp.example.com"

const gateway = z.strictObject({
  listen: listen("0.0.0.0:8080", "Address of MCP endpoints and REST API."),
  public_url: z
    .union([z.literal(""), z.string().regex(originPattern)])
    .default("")
    .meta({
      description: "Origin under which clients reach the gateway; empty = http://localhost:PORT.",
      allowed: `${originText}, or empty`,
    }),
  allowed_hosts: z
    .array(z.string().regex(/^[^\s/@]+$/, "must be HOST or HOST:PORT"))
    .default([])
    .describe(
      "Host headers to accept besides the host of public_url and, when listening on loopback, localhost. If this list and public_url are both empty and the gateway does not listen on loopback, every Host is accepted, except with --role dev.",
    ),
  allowed_origins: z
    .array(z.string().regex(anyOriginPattern, "must be an origin, e.g. https://app.example or chrome-extension://ID"))
    .default([])
    .describe("Origin headers to accept besides public_url; also those of browser extensions."),
  trusted_proxies: networks("Networks of the proxies whose X-Forwarded-* headers are trusted."),
  request_timeout: duration("15m", "How long a server may take until its response begins."),
  session_lifetime: duration("24h", "How long a session id that the gateway issued can be used."),
  max_body: size("4MiB", "Largest request body."),
  max_waiting: z
    .int()
    .min(1)
    .max(1_000_000)
    .default(10_000)
    .describe("Most requests of one replica that wait for instances to start; one caller gets at most a quarter."),
  max_held: size(
    "256MiB",
    "Most bytes of request bodies, MCP and REST together, that one replica holds at once; one caller gets at most a quarter.",
  ),
  keys_secret: z
    .string()
    .regex(/^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$/)
    .default("reflow-gateway-keys")
    .meta({
      description: "Name of the Secret with the keys that encrypt session ids, in the gateway's own namespace.",
      allowed: "a Secret's name",
    }),
})

const claims = z
  .strictObject({
    subject: claimPath("sub", "Claim of the subject."),
    email: claimPath("email", "Claim of the mail address."),
    groups: claimPath("groups", "Claim of the groups."),
    roles: claimPath("roles", "Claim of the roles, e.g. realm_access.roles or [resource_access, my.client, roles]."),
  })
  .prefault({})
  .describe("Paths of the claims that make the identity.")

const issuer = z.strictObject({
  name: z
    .string()
    .regex(/^(?!(static|dev)$)[a-z]([-a-z0-9]{0,30}[a-z0-9])?$/)
    .meta({
      description: "Short name of the issuer, used in access lists.",
      allowed: "a short name of a-z, 0-9 and '-', other than static and dev, which name tokens",
    }),
  issuer: z.string().min(1).describe("Value of the iss claim."),
  audiences: strings("Audiences to accept at MCP endpoints besides the target's and the public URL."),
  api_audiences: strings("Audiences to accept at the REST API besides PUBLIC_URL/api."),
  mcp_tokens_open_api: z
    .boolean()
    .default(false)
    .describe(
      "Accept tokens for all MCP endpoints at the REST API too, for the caller's own values and instances; never to administer.",
    ),
  scopes: z
    .array(z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/, "must be a scope without blanks and quotes (RFC 6749, 3.3)"))
    .default([])
    .describe(
      "Scopes that the gateway advertises, so that clients request them from the issuer, e.g. those that targets require.",
    ),
  jwks_url: z
    .union([z.literal(""), z.string().regex(/^https?:\/\/[^\s/?#@]+\/\S*$/)])
    .default("")
    .meta({
      description: "URL of the key set; empty = found by discovery at the issuer.",
      allowed: "an http(s) URL, or empty",
    }),
  claims,
})

/** A name that can be hashed: YAML escapes can write an unpaired surrogate, which has no UTF-8 encoding of its own. */
const unicode = () =>
  z
    .string()
    .min(1)
    .refine((text) => text.isWellFormed(), "must be valid Unicode")

const digest = () => z.string().regex(/^[0-9a-f]{64}$/)

const staticToken = z.strictObject({
  name: z.string().min(1).max(128).describe("Name of the token in logs."),
  sha256: digest().meta({
    description: "SHA-256 of the token.",
    allowed: "64 lower-case hex digits: printf %s TOKEN | sha256sum",
    secret: true,
  }),
  subject: unicode().max(1024).describe("Subject of the identity that the token stands for."),
  roles: z.array(unicode()).default([]).describe("Roles of the identity."),
  groups: z.array(unicode()).default([]).describe("Groups of the identity."),
  for: z
    .array(z.enum(["mcp", "api"]))
    .min(1)
    .default(["mcp"])
    .meta({
      description: "Where the token is accepted: mcp = MCP endpoints, api = the REST API.",
      allowed: "a list of mcp, api or both",
    }),
})

const auth = z.strictObject({
  issuers: z.array(issuer).default([]).describe("OpenID issuers whose tokens are accepted."),
  tokens: z
    .array(staticToken)
    .default([])
    .describe(
      "Static tokens. If there is neither an issuer nor a token that may administer, the gateway makes a bootstrap token.",
    ),
  admin_roles: z
    .array(z.string().min(1))
    .default(["admin"])
    .describe("Roles that may administer through the REST API."),
})

const plugin = z.strictObject({
  path: z.string().min(1).optional().describe("File of the plugin, below the working directory if it is relative."),
  name: z
    .string()
    .regex(/^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/)
    .optional()
    .meta({
      description: "Instead of path: name of a plugin that comes with the program, to configure it.",
      allowed: "the name of a plugin in plugins/",
    }),
  sha256: digest()
    .optional()
    .meta({ description: "Expected digest of the file.", allowed: "64 lower-case hex digits: sha256sum FILE" }),
  config: z
    .record(z.string(), z.unknown())
    .default({})
    .meta({ description: "Configuration that the plugin's schema checks.", secret: true }),
  secrets: strings("Secrets in the namespace of the instances that the plugin may read, by name."),
})

const dev = z.strictObject({
  targets: strings(
    "YAML files or folders of targets to load; empty = examples/targets of the working directory, if there.",
  ),
  state_dir: z
    .string()
    .default("")
    .describe(
      "Folder in which --role dev keeps its token signing key and what users made by the REST API; empty = the user's state folder.",
    ),
})

const log = z.strictObject({
  level: z.enum(["debug", "info", "warn", "error"]).default("info").describe("Least severe lines to write."),
  format: z.enum(["json", "text"]).default("json").describe("json for machines, text for people."),
  subjects: z
    .enum(["digest", "name"])
    .default("digest")
    .describe("How log lines name callers: by a digest, or by issuer/subject and mail address."),
})

const metrics = z.strictObject({
  listen: z
    .union([z.literal("").transform(() => undefined), listen("", "")])
    .prefault("0.0.0.0:9090")
    .meta({
      description: "Address of /metrics, /healthz and /readyz; empty = not served.",
      allowed: `${listenText}, or empty`,
    }),
})

/** The configuration file, every key with its default. Each key can be absent, so each layer can be checked alone. */
export const configSchema = z.strictObject({
  kubernetes: kubernetes.prefault({}),
  gateway: gateway.prefault({}),
  auth: auth.prefault({}),
  remote: remote.prefault({}),
  plugins: z.array(plugin).default([]).describe("Plugins to load, in order."),
  log: log.prefault({}),
  metrics: metrics.prefault({}),
  dev: dev.prefault({}),
})

/** The effective configuration: durations in milliseconds, sizes in bytes, frozen. */
export type Config = z.output<typeof configSchema>
