import { z } from "zod"
import { targetNamePattern } from "../names.ts"
import { durationField, durationRule, form } from "../units.ts"
import { containerFields, containerRules, envName } from "./container.ts"
import {
  apiVersion,
  Condition,
  type Kind,
  type KubeObject,
  metadataSchema,
  type ObjectMeta,
  type Rule,
} from "./kind.ts"
import { remoteFields, remoteRules, remoteTransport } from "./remote.ts"

/** Who shares an instance of a target. */
const isolationBoundaries = ["shared", "per_role", "per_group", "per_user"] as const

/** Whether an MCP session of the server has state that is lost with the instance. */
const statefulnesses = ["stateful", "stateless"] as const

const names = (description: string) => z.array(z.string().min(1).max(1024)).max(100).optional().describe(description)

const Access = z
  .object({
    users: names("Subjects, as issuer/subject; only the subject if just one issuer is configured."),
    groups: names("Groups, as issuer/group; only the group if just one issuer is configured."),
    roles: names("Roles, as issuer/role; only the role if just one issuer is configured."),
  })
  .describe("Who may use the target; empty = every authenticated identity.")

const Tools = z
  .object({
    allow: names("Globs of tools that may be seen and called; not given = all."),
    deny: names("Globs of tools that may be neither seen nor called; takes precedence over allow."),
  })
  .describe("Which of the server's tools may be seen and called.")

const Credential = z
  .object({
    name: envName("Environment variable that the value becomes."),
    required: z.boolean().optional().describe("True: no instance is created without a value; default false."),
    description: z.string().max(1024).optional().describe("What the value is and where to get one, for the user."),
  })
  .describe("A credential that the server takes.")

const SecretSource = z
  .object({
    name: envName("Environment variable that the value becomes."),
    from: form(/^[a-z][a-z0-9+.-]*:.+$/, 1024, "must be scheme:reference, e.g. vault:team/key").describe(
      "scheme:reference, e.g. vault:team/key. The scheme selects the resolver of a plugin.",
    ),
  })
  .describe("An environment variable and the reference to its secret value.")

const SubjectKeyStrategy = z
  .object({
    strategy: z
      .string()
      .min(1)
      .max(128)
      .describe("Name of the strategy as plugin/name; strategies that come with Reflow need no plugin/."),
    config: z.looseObject({}).optional().describe("Configuration that the strategy's schema checks."),
  })
  .describe("A plugin's strategy that decides who shares an instance.")

/** Spec of a target: which server it is, who may use it, and how its instances run. */
export const MCPTargetSpec = z
  .object({
    ...containerFields,
    image: containerFields.image.describe(
      "Container image of the MCP server; a digest makes restarts repeatable. Required, but for package and remote.",
    ),
    ...remoteFields,
    transportType: z
      .enum(["kubernetes", remoteTransport])
      .default("kubernetes")
      .describe(
        "kubernetes: its servers run in Pods. streamable-http: somebody else runs the server, which remote names. Immutable.",
      ),
    statefulness: z
      .enum(statefulnesses)
      .default("stateful")
      .describe(
        "stateful: a session ends with its instance. stateless: the gateway re-opens the session on a new instance.",
      ),
    isolationBoundary: z.enum(isolationBoundaries).default("per_user").describe("Who shares an instance; immutable."),
    requestTimeout: durationField("How long the server may take until its response begins; at least 10s.").optional(),
    streamTTL: durationField(
      "How long a stream without a call counts as use after its last byte; at least 10s.",
    ).optional(),
    maxInstances: z.int().min(0).max(100_000).optional().describe("Most instances of this target at once."),
    access: Access.optional(),
    requiredScopes: names("OAuth scopes that a token needs."),
    identityHeaders: z
      .boolean()
      .optional()
      .describe("True: each request to the server has the caller's identity in X-Reflow-* headers; default false."),
    sharedTasks: z
      .boolean()
      .optional()
      .describe(
        "True: tasks/* requests are sent to instances that several users share; the server must then check whose task each is. Default false: tasks/* requests to such instances are refused.",
      ),
    tools: Tools.optional(),
    credentials: z.array(Credential).max(100).optional().describe("Credentials that the server takes."),
    subjectKey: SubjectKeyStrategy.optional().describe("A plugin's strategy instead of the isolation boundary."),
    secrets: z
      .array(SecretSource)
      .max(100)
      .optional()
      .describe("Variables whose values a plugin resolves when an instance starts."),
    paused: z.boolean().optional().describe("True: no new instances are created and requests are refused."),
  })
  .describe("What the target offers and how its instances run.")
export type MCPTargetSpec = z.infer<typeof MCPTargetSpec>

/** State of a target, written by the operator. */
export const MCPTargetStatus = z
  .object({
    conditions: z
      .array(Condition)
      .max(16)
      .optional()
      .meta({ "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"] })
      .describe("Accepted, Available, AccessResolved."),
    instances: z.int().min(0).optional().describe("How many instances the target has."),
    ready: z.int().min(0).optional().describe("How many instances of the target are Ready."),
    failed: z.int().min(0).optional().describe("How many instances of the target are Failed."),
    observedGeneration: z.int().optional().describe("The generation that this status reflects."),
  })
  .describe("The observed state of the target.")
export type MCPTargetStatus = z.infer<typeof MCPTargetStatus>

/** A named MCP server that the gateway offers. */
export type MCPTarget = KubeObject & {
  readonly metadata: ObjectMeta
  readonly spec: MCPTargetSpec
  readonly status?: MCPTargetStatus
}

const immutable = (field: string): Rule => ({
  path: `spec.${field}`,
  cel: "self == oldSelf",
  message: `${field} is immutable: delete the target and create it again`,
  holds: (self, oldSelf) => self === oldSelf,
})

/** Rules that the schema cannot express, for the API server and the embedded cluster. */
export const targetRules: readonly Rule[] = [
  {
    path: "",
    cel: "self.metadata.name.matches('^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$')",
    message: "metadata.name must be at most 40 characters of a-z, 0-9 and '-', beginning with a letter",
    holds: (self) => targetNamePattern.test(self.metadata.name),
  },
  immutable("transportType"),
  immutable("isolationBoundary"),
  ...containerRules,
  ...remoteRules,
  {
    path: "spec",
    field: "stdio",
    cel: "!has(self.stdio) || self.isolationBoundary == 'per_user' || has(self.stdio.maxProcesses) || (has(self.stdio.processes) && self.stdio.processes == 'shared')",
    message: "stdio.maxProcesses is required unless isolationBoundary is per_user or stdio.processes is shared",
    holds: ({ stdio, isolationBoundary }: MCPTargetSpec) =>
      stdio === undefined ||
      isolationBoundary === "per_user" ||
      stdio.maxProcesses !== undefined ||
      stdio.processes === "shared",
  },
  durationRule("spec.requestTimeout"),
  durationRule("spec.streamTTL"),
]

/** Describes MCPTarget to the cluster port. */
export const mcpTargetKind: Kind<MCPTarget> = {
  apiVersion,
  kind: "MCPTarget",
  plural: "mcptargets",
  statusSubresource: true,
  schema: z.looseObject({
    metadata: metadataSchema,
    spec: MCPTargetSpec,
    status: MCPTargetStatus.optional(),
  }),
  rules: targetRules,
  crd: {
    singular: "mcptarget",
    shortNames: ["mcpt"],
    categories: ["reflow"],
    description: "A named MCP server that the gateway offers.",
    selectableFields: [".spec.isolationBoundary"],
    columns: [
      { name: "Isolation", type: "string", jsonPath: ".spec.isolationBoundary" },
      { name: "Accepted", type: "string", jsonPath: '.status.conditions[?(@.type=="Accepted")].status' },
      { name: "Instances", type: "integer", jsonPath: ".status.instances" },
      { name: "Ready", type: "integer", jsonPath: ".status.ready" },
      { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" },
      { name: "Image", type: "string", jsonPath: ".spec.image", priority: 1 },
      { name: "Package", type: "string", jsonPath: ".spec.package.identifier", priority: 1 },
      { name: "URL", type: "string", jsonPath: ".spec.remote.url", priority: 1 },
    ],
  },
}

/**
 * Reasons of faults in a target's choices of plugins: an unknown name, or a configuration that a plugin's schema
 * refuses.
 */
const pluginFaultReasons = [
  "StrategyUnknown",
  "SecretSchemeUnknown",
  "PodTemplateUnknown",
  "PluginConfigInvalid",
] as const

/** A fault in a target that its schema accepts: no plugin has the name, or the plugin refuses the configuration. */
export type PluginFault = {
  readonly reason: (typeof pluginFaultReasons)[number]
  /** Path of the faulty field in the spec, e.g. `["podTemplates", "0", "name"]`. */
  readonly path: readonly string[]
  /** A sentence: what is wrong, and the name that was probably meant. Never has a value of a configuration. */
  readonly message: string
}

/** Finds the faults in a target's choices of plugins, in the order of the spec. Never throws. */
export type FindPluginFaults = (
  spec: Pick<MCPTargetSpec, "subjectKey" | "secrets" | "podTemplates">,
) => readonly PluginFault[]
