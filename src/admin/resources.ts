import { z } from "zod"
import { envNamePattern } from "../api/kinds/container.ts"
import { phases } from "../api/kinds/mcp-instance.ts"
import { MCPTargetSpec, MCPTargetStatus } from "../api/kinds/mcp-target.ts"
import { credentialScopes, targetNamePattern } from "../api/names.ts"
import { preferences } from "../api/server-json/convert.ts"
import { toRestSchema, toRestShape } from "./rest.ts"

const time = (description: string) => z.string().optional().describe(description)

/** A target in the REST API: its name, the fields of its spec, and read-only fields. */
export const Target = z.strictObject({
  name: z.string().regex(targetNamePattern).describe("The target's name, which is its id everywhere."),
  ...toRestShape(MCPTargetSpec.shape),
  generation: z.int().optional().describe("Counts the changes of the target's fields; also the ETag."),
  created_time: time("When it was created (RFC 3339)."),
  deleting: z.boolean().optional().describe("True while it is being deleted."),
  status: toRestSchema(MCPTargetStatus).optional(),
  warnings: z
    .array(
      z.strictObject({
        pointer: z.string().describe("JSON Pointer (RFC 6901) of the field."),
        detail: z.string().describe("What is wrong, and what to write instead."),
      }),
    )
    .optional()
    .describe("Only in the response to a write: probable mistakes in fields that were written; absent if none."),
})

/** A target as users see it: only the name is always there, see publicTargetFields. Administrators see all fields. */
export const ShownTarget = Target.omit({ warnings: true }).partial().required({ name: true })

/** Read-only fields of a target: ignored in a request. */
export const readOnlyTargetFields: readonly string[] = ["generation", "created_time", "deleting", "status", "warnings"]

/** A target as a client sends it. */
export const TargetInput = Target.omit({
  generation: true,
  created_time: true,
  deleting: true,
  status: true,
  warnings: true,
})

const given = z.union([z.string(), z.number(), z.boolean()])

/** Fields of a request that makes a target of a document; the fields of a target may stand beside them. */
export const documentFields = {
  server_json: z
    .looseObject({})
    .describe(
      "A server.json of the MCP registry: the target is made of its first package or remote server that can be used.",
    ),
  prefer: z.enum(preferences).optional().describe("Use only packages of this kind, or remote servers; default: any."),
  arguments: z
    .record(z.string(), z.union([given, z.array(given)]))
    .optional()
    .describe(
      "Values of the document's inputs by their names: variables, arguments, names in templates. true makes a secret a required credential.",
    ),
}

/** A new target as a client sends it: the target itself, or a document that it is made of. */
export const NewTargetInput = z.strictObject({
  ...TargetInput.shape,
  ...documentFields,
  server_json: documentFields.server_json.optional(),
})

/** An instance in the REST API. It never contains values of its Secret. */
export const Instance = z.strictObject({
  name: z.string().describe("Name of the MCPInstance object."),
  target: z.string().describe("The target it belongs to."),
  subject: z
    .string()
    .optional()
    .describe("Readable name of its user, role or group; absent if kubernetes.expose_subjects is false."),
  subject_key: z.string().describe("Its subject key, which identifies its user, role or group."),
  phase: z.enum([...phases, "Terminating"]).describe("Summary of its state."),
  reason: z.string().optional().describe("Reason of the state, in one word."),
  message: z.string().optional().describe("Explanation of the state."),
  image: z.string().optional().describe("Container image; absent for a package."),
  package: z.string().optional().describe("The package that it runs, e.g. npm @example/server@1.2.3."),
  pod: z.string().optional().describe("Name of the running Pod."),
  service: z.string().describe("Name of its Service."),
  secret: z.string().optional().describe("Name of the Secret with its environment variables."),
  restarts: z.int().describe("Restarts of the running Pod's container."),
  created_time: time("When it was created (RFC 3339)."),
  ready_time: time("When its running Pod first became ready (RFC 3339)."),
  last_used_time: time("When its use was last recorded (RFC 3339). Not every request is recorded."),
  age_seconds: z.int().optional().describe("Seconds since it was created."),
})
export type Instance = z.infer<typeof Instance>

const page = <T extends z.ZodType>(item: T) =>
  z.strictObject({
    items: z.array(item).describe("Sorted by name."),
    continue: z.string().optional().describe("Send it as continue to get the next page; absent on the last one."),
  })

/** A page of targets. */
export const TargetPage = page(ShownTarget)
/** A page of instances. */
export const InstancePage = page(Instance)

/** The caller, and the targets that they may use. */
export const Whoami = z.strictObject({
  identity: z.strictObject({
    source: z.enum(["token", "jwt"]).describe("How it was verified."),
    issuer: z.string().describe("Short name of the issuer."),
    subject: z.string(),
    email: z.string().optional(),
    groups: z.array(z.string()),
    roles: z.array(z.string()),
    scopes: z.array(z.string()).describe("OAuth scopes of the token."),
    admin: z.boolean().describe("True if the caller is an administrator."),
  }),
  targets: z
    .array(
      z.strictObject({
        name: z.string(),
        subject_key: z.string().optional().describe("Subject key of the caller's instance."),
        denied: z.string().optional().describe("Why the caller gets no instance."),
      }),
    )
    .describe("The targets that the caller may use."),
  continue: z.string().optional().describe("Send it as continue to get the next page; absent on the last one."),
})

/** Body of a restart of instances. */
export const RestartInput = z.strictObject({
  subject: z
    .string()
    .min(1)
    .max(1024)
    .optional()
    .describe("Only the instance of this user, role or group: a subject key, or issuer/name. Not for remote servers."),
  drain: z.boolean().optional().describe("True: wait for open calls to end first; default false."),
})

/** An empty object, for calls without parameters. */
export const EmptyInput = z.strictObject({})

/** Result of a restart of instances. */
export const Restarted = z.strictObject({
  restarted: z.int().describe("Number of instances that were deleted or are drained."),
  instances: z.array(z.string()).describe("Names of these instances."),
})

/** Result of the test of a target. */
export const TestResult = z.strictObject({
  ok: z.boolean().describe("True if the server runs and speaks MCP."),
  instance: z.string().optional().describe("Name of the caller's instance; absent for a remote server."),
  started: z
    .boolean()
    .optional()
    .describe("True if the instance was started for this test; absent for a remote server."),
  timings: z
    .record(z.string(), z.number())
    .optional()
    .describe(
      "Seconds of each step of the instance's start: queue, create, schedule, pull, start, ready; absent for a remote server.",
    ),
  era: z
    .enum(["modern", "legacy"])
    .optional()
    .describe("legacy: the server uses sessions, opened with initialize; modern: stateless requests."),
  protocol_version: z.string().optional().describe("The negotiated MCP revision."),
  server: z
    .strictObject({ name: z.string(), version: z.string() })
    .optional()
    .describe("Name and version that the server reports."),
  tools: z.array(z.string()).optional().describe("Names of the tools that callers see."),
  handshake_seconds: z.number().optional().describe("Seconds that the server took for the handshake."),
  error: z
    .strictObject({
      step: z.enum(["start", "handshake"]).describe("The step that failed."),
      code: z.string().describe("A code of the error table."),
      detail: z.string().describe("What is wrong."),
      reason: z.string().optional().describe("Why the start failed, in one word."),
      status: z.int().optional().describe("HTTP status of a server's response that is not valid MCP."),
      said: z
        .string()
        .optional()
        .describe(
          "Beginning of that response, with secret values masked; absent for instances that others share and for remote servers.",
        ),
      log: z
        .array(z.string())
        .describe(
          "Last lines of the server's log, with secret values masked; empty for instances that others share and for remote servers.",
        ),
    })
    .optional()
    .describe("What failed."),
})
export type TestResult = z.infer<typeof TestResult>

/** Credential values of one scope, by the name of the environment variable that each becomes. */
export const ValuesInput = z.record(z.string(), z.string()).meta({
  propertyNames: { type: "string", pattern: envNamePattern.source, maxLength: 256 },
})

/** Changes of single values of one scope (RFC 7396): null removes a value, values that are not given stay. */
export const ValuesPatch = z.record(z.string(), z.string().nullable()).meta({
  propertyNames: { type: "string", pattern: envNamePattern.source, maxLength: 256 },
})

/** Description of the values of one scope. It never contains the values. */
export const Values = z.strictObject({
  scope: z.enum(credentialScopes),
  who: z.string().optional().describe("issuer/name of the role, group or user; absent for default."),
  names: z.array(z.string()).describe("Names that have a value."),
  updated_time: time("When they were last written (RFC 3339)."),
  digest: z.string().optional().describe("A keyed digest of all values: it changes when a value changes."),
  restarting: z.array(z.string()).optional().describe("Instances that are drained because of this change."),
})
export type Values = z.infer<typeof Values>
