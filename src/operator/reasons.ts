/**
 * Every reason that the operator writes into a condition or an Event. docs/operate.md explains each reason and what to
 * do; a test checks that both have the same reasons.
 */

/** Reasons why an instance's spec is refused. */
const refusals = ["InvalidSpec", "PodTemplateUnknown", "PodForbidden"] as const
const limits = ["MaxInstancesReached", "TargetMaxInstancesReached", "QueueFull"] as const

/** Reasons of the condition Ready of an instance, and of PodReady while there is a Pod. */
export const readyReasons = [
  "Ready",
  // a start that goes on
  "Pending",
  "ContainerCreating",
  "Installing",
  "Starting",
  "NotReady",
  "Unschedulable",
  "PortClosed",
  "InitContainerNotReady",
  "ContainerNotReady",
  "ReadinessGate",
  "NodeNotReady",
  // a start that failed
  "InvalidImageName",
  "ErrImagePull",
  "BridgeImagePull",
  "BridgeNotMounted",
  "PackageInstallFailed",
  "ErrImageNeverPull",
  "ImageInspectError",
  "CreateContainerConfigError",
  "CreateContainerError",
  "RunContainerError",
  "ImageUserNotAllowed",
  "CrashLoop",
  "OOMKilled",
  "HealthPathNotFound",
  "StartTimeout",
  // refused by the API server
  "PodInvalid",
  "QuotaExceeded",
  "ServiceForbidden",
  "ServiceInvalid",
  "WebhookFailed",
  // the operator could not reconcile the instance
  "ReconcileFailed",
  // the instance itself ends
  "Terminating",
  "NameConflict",
  "PodTemplateFailed",
  // a Pod that is replaced
  "Evicted",
  "NodeLost",
  "PodFailed",
  "PodGone",
  ...refusals,
  ...limits,
] as const
export type ReadyReason = (typeof readyReasons)[number]

/** Reasons of the condition Admitted of an instance. */
export const admittedReasons = ["Admitted", ...limits, ...refusals] as const
export type RefusedReason = Exclude<(typeof admittedReasons)[number], "Admitted">

/** Why an instance waits for a place. */
export type QueueReason = (typeof limits)[number]

/** The reason of PodReady without a Pod. */
export const podReadyReasons = ["NoPod"] as const

/** Why an instance or its Pod is drained. */
export const drainReasons = ["Idle", "Evicted", "MaxLifetime", "SecretExpired", "Restarted", "SpecChanged"] as const
export type DrainReason = (typeof drainReasons)[number]

/** Reasons of the condition Draining of an instance. */
export const drainingReasons = [...drainReasons, "NotDraining"] as const

/** Reasons of the condition Accepted of a target. */
export const acceptedReasons = [
  "Accepted",
  ...refusals,
  "StrategyUnknown",
  "SecretSchemeUnknown",
  "PluginConfigInvalid",
] as const
/** Reasons of the condition Available of a target whose server somebody else runs, after it was probed and before. */
export const probeReasons = [
  "Available",
  "ServerError",
  "NotProbed",
  "AddressNotAllowed",
  "CertificateInvalid",
  "Redirects",
  "Unreachable",
] as const
export type ProbeReason = (typeof probeReasons)[number]
/** Reasons of the condition Available of a target. */
export const availableReasons = [...probeReasons, "NotAccepted", "Paused", "AllInstancesFail"] as const
/** Reasons of the condition AccessResolved of a target. */
export const accessReasons = ["AccessResolved", "EntryMatchesNobody"] as const

/** Reasons of Events besides those of conditions. */
export const eventReasons = [
  "PodCreated",
  "PodDeleted",
  "ServiceDeleted",
  "Draining",
  "FailedAndUnwaited",
  "QueuedAndUnwaited",
] as const
/** Why an instance is deleted. */
export type DeleteReason = DrainReason | "FailedAndUnwaited" | "QueuedAndUnwaited"
/** Reason of an Event of type Normal. */
export type EventReason = (typeof eventReasons)[number] | DeleteReason | "Ready"

/** A reason from a status; PodFailed if it is unknown because another version wrote it. */
export const toReadyReason = (reason: string): ReadyReason =>
  readyReasons.find((each) => each === reason) ?? "PodFailed"
