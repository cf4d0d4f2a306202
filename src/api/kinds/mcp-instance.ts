import { z } from "zod"
import { targetNamePattern, targetNameText } from "../names.ts"
import { form } from "../units.ts"
import { containerFields, containerRules } from "./container.ts"
import {
  apiVersion,
  Condition,
  type Kind,
  type KubeObject,
  metadataSchema,
  type ObjectMeta,
  type Rule,
} from "./kind.ts"

const time = (description: string) => z.string().max(64).optional().describe(description)

/** Whether the operator may delete an instance; named after the reclaim policy of PersistentVolumes. */
const reclaimPolicies = ["Delete", "Retain"] as const

/** Spec of an instance: one MCP server of a target for one subject key. */
export const MCPInstanceSpec = z
  .object({
    ...containerFields,
    targetName: form(targetNamePattern, 40, targetNameText).describe("Name of the target of the instance; immutable."),
    targetUID: z.string().max(64).optional().describe("UID of the target; immutable."),
    targetGeneration: z.int().min(0).optional().describe("Generation of the target that this spec was made from."),
    subjectKey: z.string().min(1).max(253).describe("Whose instance it is, e.g. user:abc123; immutable."),
    secretName: z
      .string()
      .min(1)
      .max(253)
      .optional()
      .describe("Existing Secret whose keys become environment variables; another name replaces the Pod."),
    secretExpireTime: time("When the Secret's values expire; the instance is drained in time (RFC 3339)."),
    restartTime: time("Set by a draining restart; the instance is drained once for each new value (RFC 3339)."),
    reclaimPolicy: z
      .enum(reclaimPolicies)
      .optional()
      .describe(
        "Delete: the operator deletes the instance when it is idle, has failed or is too old. Retain: the operator keeps the instance and replaces its Pod instead. Default: Retain for instances that Argo CD, Flux or Helm applied, else Delete. Ignored if targetUID is set.",
      ),
  })
  .describe("What the instance should be.")
export type MCPInstanceSpec = z.infer<typeof MCPInstanceSpec>

/** The phases of an instance: a summary of its conditions for people. */
export const phases = ["Queued", "Pending", "Starting", "Ready", "Draining", "Failed"] as const
export type Phase = (typeof phases)[number]

/** State of an instance. The operator writes it; gateways write only lastUsedTime, inUseBy and drainSeenBy. */
export const MCPInstanceStatus = z
  .object({
    conditions: z
      .array(Condition)
      .max(16)
      .optional()
      .meta({ "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"] })
      .describe("Admitted, PodReady, Ready, Draining."),
    phase: z.enum(phases).optional().describe("Summary for people, derived from the conditions."),
    url: z.string().max(2048).optional().describe("MCP endpoint through the ClusterIP Service."),
    podURL: z
      .string()
      .max(2048)
      .optional()
      .describe("MCP endpoint at the Pod itself, known before the Service routes to it."),
    podName: z.string().max(253).optional().describe("The running Pod."),
    bridge: z
      .enum(["Local", "ConfigMap", "ImageVolume", "Copy"])
      .optional()
      .describe("How the bridge got into the running Pod of a stdio server; Local on the embedded cluster."),
    podIP: z.string().max(64).optional().describe("IP address of the running Pod."),
    incarnation: z
      .string()
      .max(128)
      .optional()
      .describe("Identifies the running server process: Pod UID and number of container restarts."),
    secretName: z.string().max(253).optional().describe("The Secret that the running Pod was started with."),
    startTime: time("When the running Pod was created."),
    readyTime: time("When the running Pod first became Ready."),
    lastUsedTime: time("When a gateway last recorded use; recorded rarely, not at each request."),
    inUseBy: z
      .record(z.string(), z.string().max(64))
      .meta({ maxProperties: 1000 })
      .optional()
      .describe("Gateway replicas with open calls, each with the time of its last renewal."),
    drainSeenBy: z
      .record(z.string(), z.string().max(64))
      .meta({ maxProperties: 1000 })
      .optional()
      .describe(
        "Gateway replicas that have acknowledged the drain and send no new calls to the instance, each with the drainDeadlineTime that it acknowledged.",
      ),
    restarts: z.int().min(0).optional().describe("Restarts of the running Pod's container."),
    starts: z.int().min(0).optional().describe("How many Pods were started; part of the Pod's name."),
    backoffUntilTime: time("No new Pod before this time."),
    backoffSeconds: z.int().min(0).optional().describe("The current backoff; doubles with each failed start."),
    initialRestartTime: time(
      "The restartTime that the instance was created with, if any: this value causes no restart.",
    ),
    drainDeadlineTime: time("When the drain ends calls and streams that are still open."),
    timings: z
      .record(z.string(), z.number())
      .meta({ maxProperties: 32 })
      .optional()
      .describe("Seconds of each start step of the running Pod."),
    failure: z
      .object({
        reason: z.string().max(64).describe("Why, in one word."),
        message: z.string().max(1024).describe("What a person needs to know."),
        exitCode: z.int().optional().describe("Exit code of the server process."),
        time: time("When the failure was first seen."),
      })
      .optional()
      .describe("Why the last start failed. Has no log lines, because these may contain secrets."),
    observedGeneration: z.int().optional().describe("The generation that this status reflects."),
  })
  .describe("The observed state of the instance.")
export type MCPInstanceStatus = z.infer<typeof MCPInstanceStatus>

/** One instance: one Pod, one ClusterIP Service, one Secret. */
export type MCPInstance = KubeObject & {
  readonly metadata: ObjectMeta
  readonly spec: MCPInstanceSpec
  readonly status?: MCPInstanceStatus
}

const immutable = (field: string): Rule => ({
  path: "spec",
  cel: `!has(oldSelf.${field}) || (has(self.${field}) && self.${field} == oldSelf.${field})`,
  message: `${field} is immutable`,
  holds: (self, oldSelf) => oldSelf[field] === undefined || self[field] === oldSelf[field],
})

/** Rules that the schema cannot express, for the API server and the embedded cluster. */
const instanceRules: readonly Rule[] = [
  {
    path: "",
    cel: "size(self.metadata.name) <= 57 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
    message:
      "metadata.name must be at most 57 characters of a-z, 0-9 and '-', beginning with a letter: the Service has the same name",
    holds: (self) => /^[a-z]([-a-z0-9]{0,55}[a-z0-9])?$/.test(self.metadata.name),
  },
  immutable("targetName"),
  immutable("targetUID"),
  immutable("subjectKey"),
  ...containerRules,
  {
    path: "spec",
    field: "image",
    isMissing: true,
    cel: "has(self.image) || has(self.package)",
    message: "image or package is required",
    holds: (spec: MCPInstanceSpec) => spec.image !== undefined || spec.package !== undefined,
  },
  {
    path: "spec",
    field: "port",
    isMissing: true,
    cel: "has(self.port) || has(self.stdio)",
    message: "port is required",
    holds: ({ port, stdio }: MCPInstanceSpec) => port !== undefined || stdio !== undefined,
  },
]

/** Describes MCPInstance to the cluster port. */
export const mcpInstanceKind: Kind<MCPInstance> = {
  apiVersion,
  kind: "MCPInstance",
  plural: "mcpinstances",
  statusSubresource: true,
  schema: z.looseObject({
    metadata: metadataSchema,
    spec: MCPInstanceSpec,
    status: MCPInstanceStatus.optional(),
  }),
  rules: instanceRules,
  crd: {
    singular: "mcpinstance",
    shortNames: ["mcpi"],
    categories: ["reflow"],
    description: "An MCP server of one target for one sharer, run as a Pod behind a ClusterIP Service.",
    selectableFields: [".spec.targetName", ".spec.subjectKey"],
    columns: [
      { name: "Target", type: "string", jsonPath: ".spec.targetName" },
      { name: "Subject", type: "string", jsonPath: ".spec.subjectKey" },
      { name: "Phase", type: "string", jsonPath: ".status.phase" },
      { name: "Reason", type: "string", jsonPath: '.status.conditions[?(@.type=="Ready")].reason' },
      { name: "Last used", type: "date", jsonPath: ".status.lastUsedTime" },
      { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" },
      { name: "Pod", type: "string", jsonPath: ".status.podName", priority: 1 },
      { name: "Image", type: "string", jsonPath: ".spec.image", priority: 1 },
      { name: "Package", type: "string", jsonPath: ".spec.package.identifier", priority: 1 },
      { name: "Restarts", type: "integer", jsonPath: ".status.restarts", priority: 1 },
    ],
  },
}
