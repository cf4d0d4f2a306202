import { z } from "zod"
import { envNamePattern } from "../api/kinds/container.ts"
import { phases } from "../api/kinds/mcp-instance.ts"
import { MCPTargetSpec, MCPTargetStatus } from "../api/kinds/mcp-target.ts"
import { credentialScopes, targetNamePattern } from "../api/names.ts"
import { toRestSchema, toRestShape } from "./rest.ts"

const time = (description: string) => z.string().optional().describe(description)

/** A target as REST shows it: its name, the fields of its spec, and what only the gateway and the operator write. */
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
    .describe("Only in the answer to a write: what was written although it can hardly be meant; absent if nothing."),
})

/** A target as it is shown to who does not administer: some fields are left out. */
export const ShownTarget = Target.omit({ warnings: true }).partial().required({ name: true })

/** What a target shows and nobody can write: ignored on the way back. */
export const readOnlyTargetFields: readonly string[] = ["generation", "created_time", "deleting", "status", "warnings"]

/** A target as a client sends it. */
export const TargetInput = Target.omit({
  generation: true,
  created_time: true,
  deleting: true,
  status: true,
  warnings: true,
})

/** An instance as REST shows it. Values of its Secret never show. */
export const Instance = z.strictObject({
  name: z.string().describe("Name of the MCPInstance object."),
  target: z.string().describe("The target it belongs to."),
  subject: z.string().optional().describe("Whose it is, for people; absent where kubernetes.expose_subjects is false."),
  subject_key: z.string().describe("Whose it is."),
  phase: z.enum([...phases, "Terminating"]).describe("Summary of its state."),
  reason: z.string().optional().describe("Why it is so, in one word."),
  message: z.string().optional().describe("What a person needs to know."),
  image: z.string().describe("Container image."),
  pod: z.string().optional().describe("Name of the running Pod."),
  service: z.string().describe("Name of its Service."),
  secret: z.string().optional().describe("Name of the Secret it runs with."),
  restarts: z.int().describe("Restarts of the running Pod's container."),
  created_time: time("When it was made (RFC 3339)."),
  ready_time: time("When its running Pod first became ready (RFC 3339)."),
  last_used_time: time("When use was last recorded (RFC 3339); recorded rarely, not at each request."),
  age_seconds: z.int().optional().describe("Seconds since it was made."),
})
export type Instance = z.infer<typeof Instance>

const page = <T extends z.ZodType>(item: T) =>
  z.strictObject({
    items: z.array(item).describe("In the order of their names."),
    continue: z.string().optional().describe("Send it as continue to get the next page; absent on the last one."),
  })

/** A page of targets. */
export const TargetPage = page(ShownTarget)
/** A page of instances. */
export const InstancePage = page(Instance)

/** Who is calling. */
export const Whoami = z.strictObject({
  identity: z.strictObject({
    source: z.enum(["token", "jwt"]).describe("How it was verified."),
    issuer: z.string().describe("Short name of the issuer."),
    subject: z.string(),
    email: z.string().optional(),
    groups: z.array(z.string()),
    roles: z.array(z.string()),
    scopes: z.array(z.string()).describe("OAuth scopes of the token."),
    admin: z.boolean().describe("True if the caller administers."),
  }),
  targets: z
    .array(
      z.strictObject({
        name: z.string(),
        subject_key: z.string().optional().describe("Whose instance the caller gets."),
        denied: z.string().optional().describe("Why the caller gets none."),
      }),
    )
    .describe("The targets that the caller may use."),
  continue: z.string().optional().describe("Send it as continue to get the next page; absent on the last one."),
})

/** What to restart, and how. */
export const RestartInput = z.strictObject({
  subject: z.string().min(1).max(1024).optional().describe("Only this sharer's: a subject key, or issuer/name."),
  drain: z.boolean().optional().describe("True: open calls may end first; default false."),
})

/** A body with nothing in it. */
export const EmptyInput = z.strictObject({})

/** What a restart did. */
export const Restarted = z.strictObject({
  restarted: z.int().describe("How many instances were ended, or asked to drain."),
  instances: z.array(z.string()).describe("Their names."),
})

/** What the test of a target found. */
export const TestResult = z.strictObject({
  ok: z.boolean().describe("True if the server runs and speaks MCP."),
  instance: z.string().optional().describe("Name of the caller's instance."),
  started: z.boolean().optional().describe("True if it was started for this test."),
  timings: z
    .record(z.string(), z.number())
    .optional()
    .describe("Seconds of each step of its start: queue, create, schedule, pull, start, ready."),
  era: z.enum(["modern", "legacy"]).optional().describe("legacy: sessions, opened by initialize."),
  protocol_version: z.string().optional().describe("The MCP revision that was agreed."),
  server: z.strictObject({ name: z.string(), version: z.string() }).optional().describe("What it calls itself."),
  tools: z.array(z.string()).optional().describe("Names of the tools that callers see."),
  handshake_seconds: z.number().optional().describe("Seconds that the server took for the handshake."),
  error: z
    .strictObject({
      step: z.enum(["start", "handshake"]).describe("How far it came."),
      code: z.string().describe("A code of the error table."),
      detail: z.string().describe("What is wrong."),
      reason: z.string().optional().describe("Why the start failed, in one word."),
      status: z.int().optional().describe("HTTP status of the answer that was not understood."),
      said: z.string().optional().describe("How that answer begins, secret values masked; not of shared instances."),
      log: z.array(z.string()).describe("The last lines of its log, secret values masked; empty for shared instances."),
    })
    .optional()
    .describe("What failed."),
})
export type TestResult = z.infer<typeof TestResult>

/** Credential values of one scope, by the name of the environment variable that each becomes. */
export const ValuesInput = z.record(z.string(), z.string()).meta({
  propertyNames: { type: "string", pattern: envNamePattern.source, maxLength: 256 },
})

/** Changes of single values of one scope (RFC 7396): null removes one, names that are not given stay. */
export const ValuesPatch = z.record(z.string(), z.string().nullable()).meta({
  propertyNames: { type: "string", pattern: envNamePattern.source, maxLength: 256 },
})

/** What is told of the values of one scope: never the values. */
export const Values = z.strictObject({
  scope: z.enum(credentialScopes),
  who: z.string().optional().describe("issuer/name of the role, group or user; absent for default."),
  names: z.array(z.string()).describe("Names that have a value."),
  updated_time: time("When they were last written (RFC 3339)."),
  digest: z.string().optional().describe("Changes when a value does."),
  restarting: z.array(z.string()).optional().describe("Instances that are drained because of this change."),
})
export type Values = z.infer<typeof Values>
