import type { z } from "zod"
import type { ErrorCode } from "../errors.ts"
import type { OperationName } from "./operations.ts"
import {
  EmptyInput,
  Instance,
  InstancePage,
  NewTargetInput,
  Restarted,
  RestartInput,
  ShownTarget,
  Target,
  TargetInput,
  TargetPage,
  TestResult,
  Values,
  ValuesInput,
  ValuesPatch,
  Whoami,
} from "./resources.ts"

/** The named schemas of the OpenAPI document. */
export const schemas = {
  Target,
  ShownTarget,
  TargetInput,
  NewTargetInput,
  TargetPage,
  Instance,
  InstancePage,
  RestartInput,
  Restarted,
  EmptyInput,
  TestResult,
  Values,
  ValuesInput,
  ValuesPatch,
  Whoami,
} as const satisfies Readonly<Record<string, z.ZodType>>

/** Name of a schema of the OpenAPI document. */
type SchemaName = keyof typeof schemas

/** Request and response of a call, in addition to its row in {@link operations}. */
export type Contract = {
  readonly summary: string
  readonly description?: string
  readonly body?: {
    readonly schema: SchemaName | "TargetPatch"
    readonly required: boolean
  }
  /** `text` = plain text, `document` = the OpenAPI document. */
  readonly answer: { readonly status: 200 | 201 | 204; readonly schema?: SchemaName | "text" | "document" }
  /** Error codes of the call, in addition to {@link commonErrors}. */
  readonly errors: readonly ErrorCode[]
}

/** Error codes of every call. */
export const commonErrors: readonly ErrorCode[] = [
  "BadPath",
  "InvalidParams",
  "Unauthenticated",
  "Internal",
  "ClusterUnavailable",
  "ApiForbidden",
  "ApiTooManyRequests",
  "QuotaExceeded",
]

const bodyErrors = [
  "MalformedJson",
  "BodyTooLarge",
  "BodiesTooLarge",
  "UnsupportedMediaType",
  "ValidationFailed",
] as const
const changeErrors = ["PreconditionFailed", "Conflict", "ManagedElsewhere"] as const
const remotely = "For a remote server, the next call has the new values."
const scoped = "Reading gives names, time and a keyed digest, never values."

const readValues = (whose: string): Contract => ({
  summary: `Show which credential values ${whose} has`,
  description: scoped,
  answer: { status: 200, schema: "Values" },
  errors: ["TargetNotFound", "ScopeTooNarrow", "RouteNotFound"],
})
const writeValues = (whose: string): Contract => ({
  summary: `Replace all credential values of ${whose} with the body`,
  description: `Instances that were started with values of the scope are drained; the response names them. ${remotely}`,
  body: { schema: "ValuesInput", required: true },
  answer: { status: 200, schema: "Values" },
  errors: ["TargetNotFound", "ScopeTooNarrow", "RouteNotFound", "Conflict", "PreconditionFailed", ...bodyErrors],
})
const patchValues = (whose: string): Contract => ({
  summary: `Change single credential values of ${whose}`,
  description: `An RFC 7396 merge patch: null removes a value, values that are not given stay. Instances that were started with values of the scope are drained; the response names them. ${remotely}`,
  body: { schema: "ValuesPatch", required: true },
  answer: { status: 200, schema: "Values" },
  errors: ["TargetNotFound", "ScopeTooNarrow", "RouteNotFound", "Conflict", "PreconditionFailed", ...bodyErrors],
})
const removeValues = (whose: string): Contract => ({
  summary: `Remove the credential values of ${whose}`,
  description: `Succeeds if there are none, too. Instances that were started with values of the scope are drained. ${remotely}`,
  answer: { status: 200, schema: "Values" },
  errors: ["TargetNotFound", "RouteNotFound", "PreconditionFailed"],
})

/** Every call's contract. */
export const contracts: Readonly<Record<OperationName, Contract>> = {
  getDocument: {
    summary: "This document",
    answer: { status: 200, schema: "document" },
    errors: [],
  },
  createTarget: {
    summary: "Create a target",
    description:
      "The body has the target's fields, or a server.json of the MCP registry that the target is made of. With server_json, errors and warnings may name places in the document.",
    body: { schema: "NewTargetInput", required: true },
    answer: { status: 201, schema: "Target" },
    errors: ["AlreadyExists", ...bodyErrors],
  },
  listTargets: {
    summary: "List targets",
    description:
      "Sorted by name. Administrators see all targets with all fields; others see the targets that they may use, with the fields that users need.",
    answer: { status: 200, schema: "TargetPage" },
    errors: [],
  },
  getTarget: {
    summary: "Show a target",
    answer: { status: 200, schema: "ShownTarget" },
    errors: ["TargetNotFound"],
  },
  replaceTarget: {
    summary: "Replace a target",
    description:
      "The body replaces all fields of the target; fields that only a GET returns are ignored. A change of a field that another field manager wrote last (kubectl apply, Helm) is refused unless force is true.",
    body: { schema: "TargetInput", required: true },
    answer: { status: 200, schema: "Target" },
    errors: ["TargetNotFound", "PreconditionRequired", ...changeErrors, ...bodyErrors],
  },
  patchTarget: {
    summary: "Change a target",
    description:
      "An RFC 7396 merge patch: null removes a field, objects are merged, any other value replaces the field.",
    body: { schema: "TargetPatch", required: true },
    answer: { status: 200, schema: "Target" },
    errors: ["TargetNotFound", ...changeErrors, ...bodyErrors],
  },
  deleteTarget: {
    summary: "Delete a target with its instances and credentials",
    answer: { status: 204 },
    errors: ["TargetNotFound", "PreconditionFailed"],
  },
  restartInstances: {
    summary: "End the instances of a target",
    description:
      "All instances, or those of one user, role or group. The next request starts a new instance. For a remote server, all sessions end.",
    body: { schema: "RestartInput", required: false },
    answer: { status: 200, schema: "Restarted" },
    errors: ["TargetNotFound", ...bodyErrors],
  },
  testTarget: {
    summary: "Test a target with the caller's instance",
    description:
      "Starts or finds the caller's instance and connects to it, or to the remote server, as an MCP client does. If the server does not work, the response has ok: false; an error means that it could not be tested.",
    body: { schema: "EmptyInput", required: false },
    answer: { status: 200, schema: "TestResult" },
    errors: [
      "TargetNotFound",
      "SubjectKeyDenied",
      "TargetPaused",
      "InstanceStarting",
      "TooManyWaiting",
      "CapacityExceeded",
      "ShuttingDown",
      ...bodyErrors,
    ],
  },
  listTargetInstances: {
    summary: "List the instances of a target",
    answer: { status: 200, schema: "InstancePage" },
    errors: ["TargetNotFound"],
  },
  listInstances: {
    summary: "List instances",
    description: "Administrators see all instances; others see their own instances of per_user targets.",
    answer: { status: 200, schema: "InstancePage" },
    errors: [],
  },
  getInstance: {
    summary: "Show an instance",
    answer: { status: 200, schema: "Instance" },
    errors: ["InstanceNotFound"],
  },
  deleteInstance: {
    summary: "End an instance",
    description: "Its Pod, Service and Secret are deleted too. The next request starts a new instance.",
    answer: { status: 204 },
    errors: ["InstanceNotFound"],
  },
  instanceLogs: {
    summary: "Show the log of an instance's container",
    description:
      "Secret values are masked. Empty before the first start. With follow, the response ends when the container ends, at the latest after an hour.",
    answer: { status: 200, schema: "text" },
    errors: ["InstanceNotFound", "TooManyLogs"],
  },
  getOwnValues: readValues("the caller"),
  setOwnValues: writeValues("the caller"),
  patchOwnValues: patchValues("the caller"),
  deleteOwnValues: removeValues("the caller"),
  getDefaultValues: readValues("everybody"),
  setDefaultValues: writeValues("everybody"),
  patchDefaultValues: patchValues("everybody"),
  deleteDefaultValues: removeValues("everybody"),
  getValues: readValues("a role, group or user"),
  setValues: writeValues("a role, group or user"),
  patchValues: patchValues("a role, group or user"),
  deleteValues: removeValues("a role, group or user"),
  whoami: {
    summary: "Show the caller's identity",
    description: "With the caller's subject key for each target that they may use, or why they have none.",
    answer: { status: 200, schema: "Whoami" },
    errors: [],
  },
}
