import type { z } from "zod"
import type { ErrorCode } from "../errors.ts"
import type { OperationName } from "./operations.ts"
import {
  EmptyInput,
  Instance,
  InstancePage,
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

/** The schemas that the document names. */
export const schemas = {
  Target,
  ShownTarget,
  TargetInput,
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

/** Name of a schema of the document. */
type SchemaName = keyof typeof schemas

/** What a call takes and answers, besides what {@link operations} says of it. */
export type Contract = {
  readonly summary: string
  readonly description?: string
  readonly body?: {
    readonly schema: SchemaName | "TargetPatch"
    readonly required: boolean
  }
  /** `text` is plain text, `document` this document. */
  readonly answer: { readonly status: 200 | 201 | 204; readonly schema?: SchemaName | "text" | "document" }
  /** What it may be refused with, besides {@link commonErrors}. */
  readonly errors: readonly ErrorCode[]
}

/** What every call may be refused with. */
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
const scoped = "Reading gives names, time and a keyed digest, never values."

const readValues = (whose: string): Contract => ({
  summary: `Show which credential values ${whose} has`,
  description: scoped,
  answer: { status: 200, schema: "Values" },
  errors: ["TargetNotFound", "ScopeTooNarrow", "RouteNotFound"],
})
const writeValues = (whose: string): Contract => ({
  summary: `Make the body the credential values of ${whose}, and no others`,
  description: "Instances that were started with the scope are drained; the answer names them.",
  body: { schema: "ValuesInput", required: true },
  answer: { status: 200, schema: "Values" },
  errors: ["TargetNotFound", "ScopeTooNarrow", "RouteNotFound", "Conflict", "PreconditionFailed", ...bodyErrors],
})
const patchValues = (whose: string): Contract => ({
  summary: `Change single credential values of ${whose}`,
  description:
    "An RFC 7396 merge patch: null removes a value, names that are not given stay. Instances that were started with the scope are drained; the answer names them.",
  body: { schema: "ValuesPatch", required: true },
  answer: { status: 200, schema: "Values" },
  errors: ["TargetNotFound", "ScopeTooNarrow", "RouteNotFound", "Conflict", "PreconditionFailed", ...bodyErrors],
})
const removeValues = (whose: string): Contract => ({
  summary: `Remove the credential values of ${whose}`,
  description: "Harmless if there are none. Instances that were started with the scope are drained.",
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
    summary: "Make a target",
    body: { schema: "TargetInput", required: true },
    answer: { status: 201, schema: "Target" },
    errors: ["AlreadyExists", ...bodyErrors],
  },
  listTargets: {
    summary: "List targets",
    description: "In the order of their names. Who does not administer sees what they may use, without its inner life.",
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
      "The body is all that the target is from now on; what only a GET shows is ignored. A field that another field manager wrote last (kubectl apply, Helm) is not changed unless force is true.",
    body: { schema: "TargetInput", required: true },
    answer: { status: 200, schema: "Target" },
    errors: ["TargetNotFound", "PreconditionRequired", ...changeErrors, ...bodyErrors],
  },
  patchTarget: {
    summary: "Change a target",
    description: "An RFC 7396 merge patch: null removes, objects merge, everything else replaces.",
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
    description: "All of them, or one sharer's; the next request makes new ones.",
    body: { schema: "RestartInput", required: false },
    answer: { status: 200, schema: "Restarted" },
    errors: ["TargetNotFound", ...bodyErrors],
  },
  testTarget: {
    summary: "Try the caller's server",
    description:
      "Starts or finds the caller's instance and opens it as an MCP client would. A server that does not work is an answer with ok: false; an error means that it could not be tried.",
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
    description: "Who does not administer sees their own instances of per_user targets.",
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
    description: "Its Pod, Service and Secret go with it; the next request makes a new one.",
    answer: { status: 204 },
    errors: ["InstanceNotFound"],
  },
  instanceLogs: {
    summary: "Show the log of an instance's container",
    description:
      "Secret values are masked. Empty before the first start. When followed, it ends with the container's life, at most after an hour.",
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
    summary: "Show who the caller is",
    description: "With the subject key for each target that they may use, or why there is none.",
    answer: { status: 200, schema: "Whoami" },
    errors: [],
  },
}
