import { z } from "zod"
import { durationField, durationRule, form, quantitiesRule, Resources } from "../units.ts"
import type { Rule } from "./kind.ts"
import { packageFields, packageRules } from "./package.ts"

/** Names that an environment variable of a server may have. */
export const envNamePattern = /^[A-Za-z_][A-Za-z0-9_]*$/

const text = (max: number) => z.string().min(1).max(max)

/** Name of an environment variable. */
export const envName = (description: string) =>
  form(envNamePattern, 256, "must be letters, digits and '_', not beginning with a digit").describe(description)

/** An absolute path without query, fragment and spaces. */
const urlPath = (description: string) =>
  form(/^\/[^?#\s]*$/, 1024, "must begin with '/' and have no spaces, '?' or '#'")
    .optional()
    .describe(description)

const EnvVar = z
  .object({
    name: envName("Name of the variable."),
    value: z
      .string()
      .max(32_768)
      .describe(
        "Value of the variable; for secrets use credentials instead. $(NAME) is replaced by a credential or an earlier variable.",
      ),
  })
  .describe("An environment variable.")

const Security = z
  .object({
    runAsUser: z.int().min(0).max(2_147_483_647).optional().describe("User id of the process; default 65532."),
    runAsGroup: z
      .int()
      .min(0)
      .max(2_147_483_647)
      .optional()
      .describe("Group id of the process; default 65532. 0 is refused unless the operator allows rootGroup."),
    fsGroup: z
      .int()
      .min(0)
      .max(2_147_483_647)
      .optional()
      .describe("Group that owns mounted volumes; default 65532. 0 is refused unless the operator allows rootGroup."),
    runAsNonRoot: z.boolean().optional().describe("Refuse to run as root; default true."),
    readOnlyRootFilesystem: z.boolean().optional().describe("Root file system read-only, /tmp writable; default true."),
  })
  .describe(
    "Security settings of the container; those that the restricted Pod Security Standard forbids are refused by default.",
  )

/** Most processes of a stdio server, if `maxProcesses` is not given. */
export const defaultMaxProcesses = 8

/** How a server is run that speaks MCP over stdin and stdout. */
const Stdio = z
  .object({
    processes: z
      .enum(["per_session", "shared"])
      .optional()
      .describe(
        "per_session (default): each MCP session has a process of its own. shared: all sessions use one process, which cannot ask its clients anything.",
      ),
    maxProcesses: z
      .int()
      .min(1)
      .max(1000)
      .optional()
      .describe(
        "Most processes of an instance at once; default 8, required unless isolationBoundary is per_user or processes is shared.",
      ),
    node: text(4096)
      .optional()
      .describe(
        "A Node of at least 22.19 in the image, as a name or a path, e.g. node: the bridge runs on it, from a ConfigMap. Default: the bridge brings its own.",
      ),
    idleTTL: durationField(
      "End the process of a session that nobody has used for this time; at least 10s. Default: the instance's idleTTL.",
    ).optional(),
  })
  .describe(
    "Present: command is a program that speaks MCP over stdin and stdout; Reflow's bridge serves it on the port.",
  )

/** A pod template of a plugin, chosen by name. */
const PodTemplateChoice = z
  .object({
    name: text(128).describe("Name of the template as plugin/name; templates that come with Reflow need no plugin/."),
    config: z.looseObject({}).optional().describe("Configuration that the template's schema checks."),
  })
  .describe("A pod template and its configuration.")

/**
 * The fields about the container and its lifetime that MCPTarget and MCPInstance share, with the same meaning in both.
 */
export const containerFields = {
  image: text(1024)
    .optional()
    .describe("Container image of the MCP server; a digest makes restarts repeatable. Required, but for package."),
  ...packageFields,
  imagePullPolicy: z
    .enum(["Always", "IfNotPresent", "Never"])
    .optional()
    .describe("When to pull the image; default IfNotPresent, for :latest too."),
  imagePullSecrets: z.array(text(253)).max(100).optional().describe("Names of Secrets for the image registry."),
  port: z
    .int()
    .min(1)
    .max(65_535)
    .optional()
    .describe(
      "Port on which the server listens; the container gets it as the variable PORT. Required, but for stdio: default 8080.",
    ),
  path: urlPath("Path of the MCP endpoint; default /mcp."),
  command: z
    .array(z.string().max(4096))
    .max(100)
    .optional()
    .describe("Entrypoint; default: the image's. $(NAME) is replaced by a variable or credential."),
  args: z
    .array(z.string().max(4096))
    .max(100)
    .optional()
    .describe("Arguments; default: the image's. $(NAME) is replaced by a variable or credential, $$ by $."),
  env: z.array(EnvVar).max(100).optional().describe("Environment variables, not for secrets: use credentials."),
  stdio: Stdio.optional(),
  healthPath: urlPath("HTTP path that returns 2xx or 3xx when the server is up; default: a TCP check of the port."),
  hostHeader: form(
    /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?$/,
    255,
    "must be HOST or HOST:PORT, e.g. localhost:8080",
  )
    .optional()
    .describe("Host header of requests to the server, for servers that check it; default: the address of the server."),
  resources: Resources.optional(),
  security: Security.optional(),
  idleTTL: durationField("Delete the instance after this time without use; at least 10s.").optional(),
  maxLifetime: durationField("Replace the instance at this age; at least 10s.").optional(),
  startTimeout: durationField("How long a start may take before it counts as failed; at least 10s.").optional(),
  podTemplates: z.array(PodTemplateChoice).max(100).optional().describe("Pod templates of plugins, applied in order."),
}

/** Rules for {@link containerFields} that a schema cannot express. */
export const containerRules: readonly Rule[] = [
  durationRule("spec.idleTTL"),
  durationRule("spec.maxLifetime"),
  durationRule("spec.startTimeout"),
  quantitiesRule("spec.resources.requests"),
  quantitiesRule("spec.resources.limits"),
  {
    path: "spec",
    field: "command",
    isMissing: true,
    cel: "!has(self.stdio) || has(self.package) || (has(self.command) && size(self.command) > 0)",
    message:
      "command is required for stdio: Kubernetes cannot put the bridge before an entrypoint that it does not know",
    holds: ({ stdio, command = [], package: named }: ContainerSpec) =>
      stdio === undefined || named !== undefined || command.length > 0,
  },
  {
    path: "spec",
    field: "healthPath",
    cel: "!has(self.stdio) || !has(self.healthPath)",
    message: "healthPath cannot be used with stdio: the bridge's port is checked",
    holds: ({ stdio, healthPath }: ContainerSpec) => stdio === undefined || healthPath === undefined,
  },
  durationRule("spec.stdio.idleTTL"),
  ...packageRules,
]

/** The fields that the rules look at. */
type ContainerSpec = Partial<z.infer<z.ZodObject<typeof containerFields>>>

/** Port of the bridge, if a stdio server's spec names none. */
const bridgePort = 8080

/** The port on which an instance or target listens. */
export const portOf = ({ port = bridgePort }: { readonly port?: number | undefined }): number => port

/** MCP endpoint path of an instance or target without `path`. */
export const defaultPath = "/mcp"
