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

/** Who shares an instance of a target. */
const isolationBoundaries = ["shared", "per_role", "per_group", "per_user"] as const

/** What an MCP session of the server holds. */
const statefulnesses = ["stateful", "stateless"] as const

const names = (description: string) => z.array(z.string().min(1).max(1024)).max(100).optional().describe(description)

const Access = z
  .object({
    users: names("Subjects, as issuer/subject; bare while one issuer is configured."),
    groups: names("Groups, as issuer/group; bare while one issuer is configured."),
    roles: names("Roles, as issuer/role; bare while one issuer is configured."),
  })
  .describe("Who may use the target; empty = every authenticated identity.")

const Tools = z
  .object({
    allow: names("Globs of tools that may be seen and called; not given = all."),
    deny: names("Globs of tools that may not; stronger than allow."),
  })
  .describe("Which of the server's tools may be seen and called.")

const Credential = z
  .object({
    name: envName("Environment variable that the value becomes."),
    required: z.boolean().optional().describe("Without a value no instance is made; default false."),
    description: z.string().max(1024).optional().describe("What the value is and where to get one, for the user."),
  })
  .describe("A credential that the server takes.")

const SecretSource = z
  .object({
    name: envName("Environment variable that the value becomes."),
    from: form(/^[a-z][a-z0-9+.-]*:.+$/, 1024, "must be scheme:reference, e.g. vault:team/key").describe(
      "scheme:reference; the scheme chooses the plugin's resolver.",
    ),
  })
  .describe("A value and where it comes from.")

const SubjectKeyStrategy = z
  .object({
    strategy: z.string().min(1).max(128).describe("plugin/name of the strategy; first-party ones may be used bare."),
    config: z.looseObject({}).optional().describe("Configuration that the strategy's schema checks."),
  })
  .describe("Who shares an instance, as a plugin decides it.")

/** What a target offers and how its instances run. */
export const MCPTargetSpec = z
  .object({
    ...containerFields,
    transportType: z.enum(["kubernetes"]).default("kubernetes").describe("How its servers run; immutable."),
    statefulness: z
      .enum(statefulnesses)
      .default("stateful")
      .describe("stateful: a session ends with its instance; stateless: the gateway re-opens it on a new one."),
    isolationBoundary: z.enum(isolationBoundaries).default("per_user").describe("Who shares an instance; immutable."),
    requestTimeout: durationField("How long the server may take until its answer begins; at least 10s.").optional(),
    streamTTL: durationField(
      "How long a stream without a call counts as use after its last byte; at least 10s.",
    ).optional(),
    maxInstances: z.int().min(0).max(100_000).optional().describe("Most instances of this target at once."),
    access: Access.optional(),
    requiredScopes: names("OAuth scopes that a token needs."),
    identityHeaders: z
      .boolean()
      .optional()
      .describe("True: each request tells the server who is calling, in X-Reflow-* headers; default false."),
    sharedTasks: z
      .boolean()
      .optional()
      .describe(
        "True: tasks/* reach instances that several users share; the server must know whose each task is. Default false: they are refused there.",
      ),
    tools: Tools.optional(),
    credentials: z.array(Credential).max(100).optional().describe("Credentials that the server takes."),
    subjectKey: SubjectKeyStrategy.optional().describe("A plugin's strategy instead of the isolation boundary."),
    secrets: z.array(SecretSource).max(100).optional().describe("Values that a plugin resolves at the start."),
    paused: z.boolean().optional().describe("True: no new instances, requests are refused."),
  })
  .describe("What the target offers and how its instances run.")
export type MCPTargetSpec = z.infer<typeof MCPTargetSpec>

/** What the operator knows of a target. */
export const MCPTargetStatus = z
  .object({
    conditions: z
      .array(Condition)
      .max(16)
      .optional()
      .meta({ "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"] })
      .describe("Accepted, Available, AccessResolved."),
    instances: z.int().min(0).optional().describe("How many instances exist."),
    ready: z.int().min(0).optional().describe("How many of them are Ready."),
    failed: z.int().min(0).optional().describe("How many of them are Failed."),
    observedGeneration: z.int().optional().describe("The generation that this status reflects."),
  })
  .describe("What is known of the target.")
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
  message: `${field} is immutable: delete the target and create it anew`,
  holds: (self, oldSelf) => self === oldSelf,
})

/** What the schema cannot say, for the API server and the embedded cluster alike. */
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
    ],
  },
}

/** Why a target chooses of plugins what they do not have, or configures it in a way that their schema refuses. */
const pluginFaultReasons = [
  "StrategyUnknown",
  "SecretSchemeUnknown",
  "PodTemplateUnknown",
  "PluginConfigInvalid",
] as const

/** What is wrong with a target that has the right form: a name in it stands for nothing, or a configuration is refused. */
export type PluginFault = {
  readonly reason: (typeof pluginFaultReasons)[number]
  /** Where it stands in the spec, e.g. `["podTemplates", "0", "name"]`. */
  readonly path: readonly string[]
  /** A sentence: what is wrong, and what was probably meant. Never a value of a configuration. */
  readonly message: string
}

/** Finds what a target's choices of plugins are wrong about, in the order of the spec. Never throws. */
export type FindPluginFaults = (
  spec: Pick<MCPTargetSpec, "subjectKey" | "secrets" | "podTemplates">,
) => readonly PluginFault[]
