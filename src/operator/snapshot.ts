import type { Service } from "../api/kinds/kubernetes.ts"
import type { MCPInstance, MCPInstanceStatus } from "../api/kinds/mcp-instance.ts"
import type { FindPluginFaults, MCPTarget } from "../api/kinds/mcp-target.ts"
import type { Pod } from "../api/kinds/pod.ts"
import type { Config } from "../config/schema.ts"
import type { MergePatch } from "../ports/cluster.ts"
import type { BridgeSupply } from "./desired/bridge-delivery.ts"
import type { LocalPackages } from "./desired/local-packages.ts"
import type { KeptPod, KeptService } from "./kept.ts"
import type { DeleteReason, DrainReason, QueueReason, ReadyReason, RefusedReason } from "./reasons.ts"

/** Settings of the operator, fixed at its start. */
export type Settings = Omit<Config["kubernetes"], "bridge"> & {
  /** True on the embedded cluster, where a Pod listens on the port that its node annotates. */
  readonly embedded: boolean
  /** How the bridge gets to stdio servers; undefined = they cannot run. */
  readonly bridge: BridgeSupply | undefined
  /** How packages are installed on the embedded cluster; undefined on a real one. */
  readonly localPackages?: LocalPackages | undefined
  /** Names of the pod templates that plugins registered. */
  readonly podTemplates: ReadonlySet<string>
  /** Lets the instance's pod templates change its Pod, in order. Pure; throws PluginFailed. */
  readonly template: (pod: Pod, instance: MCPInstance) => Pod
  /** Finds faults in a target's choice of plugins. Pure. */
  readonly pluginFaults: FindPluginFaults
  /** Short names of all identity issuers; undefined if they are not known to this process. */
  readonly knownIssuers: readonly string[] | undefined
}

/** The settings that are not in the operator's own configuration. */
export type OutsideSettings = Pick<Settings, "podTemplates" | "template" | "pluginFaults" | "knownIssuers">

/** How an instance is used, by the operator's own clock (milliseconds since the epoch). */
export type Use = {
  /** Gateways whose in-use marks changed less than 90 s ago: they use the instance. */
  readonly live: readonly string[]
  /** Gateways whose in-use marks did not change for 90 s: the marks have expired. */
  readonly expired: readonly string[]
  /** When the first of the live in-use marks expires, if it is not renewed; undefined without live marks. */
  readonly nextExpiry: number | undefined
  /** The latest moment at which it can have been used; undefined = never used. */
  readonly lastUse: number | undefined
}

/** Whether an instance has a place under the limits, or waits for one. */
export type Place =
  | { readonly kind: "granted" }
  | {
      readonly kind: "queued"
      readonly reason: QueueReason
      /** Names of instances to reconcile now, because they must make room or were granted a place. */
      readonly wake: readonly string[]
    }

/** The state of an instance's server, with reason and message of the condition Ready. */
export type Standing = {
  readonly ready: boolean
  readonly reason: ReadyReason
  /** Message for a person: what happened, and what to do. */
  readonly message: string
  /** Present = the start counts as failed; `exitCode` of the server process if it has ended. */
  readonly failed?: { readonly exitCode?: number }
  /** True if this Pod will never run again and must be replaced. */
  readonly lost?: boolean
  /** When time alone can change this state, milliseconds since the epoch; absent = never. */
  readonly until?: number
}

/** What the operator itself saw of a Pod, in milliseconds since the epoch by its own clock. */
export type PodSight = {
  /** When this operator first saw the Pod. */
  readonly seenAt: number
  /** When it first saw the sign of trouble that the Pod shows now; undefined if it shows none. */
  readonly signAt: number | undefined
  /** The cause of a failing startup probe, by the kubelet's Events; undefined if unknown. */
  readonly probe: ProbeFinding | undefined
}

/** Why a startup probe fails. */
export type ProbeFinding = {
  readonly reason: "HealthPathNotFound" | "PortClosed" | "BridgeNotMounted"
  readonly message: string
}

/** The API server's refusal to create an object. */
export type Refusal = { readonly reason: ReadyReason; readonly message: string }

/** Everything known of one instance at one moment. */
export type Observation = {
  readonly instance: MCPInstance
  readonly target: MCPTarget | undefined
  /** Its Pods (by controller UID), terminating ones included. */
  readonly pods: readonly KeptPod[]
  /** The newest of them that is not terminating. */
  readonly pod: KeptPod | undefined
  /** Its Service (by controller UID), unless that is terminating. */
  readonly service: KeptService | undefined
  /** The Service that has the name its own Service needs, whoever owns it. */
  readonly serviceNamesake: KeptService | undefined
  /** The Pod that has the name its next Pod needs, whoever owns it; undefined while it has a Pod. */
  readonly podNamesake: KeptPod | undefined
  /** Pods and Services that an earlier instance of this name left. */
  readonly left: { readonly pods: readonly KeptPod[]; readonly services: readonly KeptService[] }
  readonly place: Place
  /** True if it must make room for a queued instance. */
  readonly makesRoom: boolean
  readonly use: Use
  /** What this operator saw of the Pod, and when; undefined while there is none. */
  readonly sight: PodSight | undefined
  /** When this operator first saw the drain; undefined while there is none. */
  readonly drainSeenAt: number | undefined
  /** Running gateways, by their names in `inUseBy`. */
  readonly gateways: readonly string[]
  /** The API server's refusal of a create in the pass before. */
  readonly refusal: Refusal | undefined
  /** Milliseconds since the epoch. */
  readonly now: number
  readonly settings: Settings
}

/** Everything that a decision about one instance depends on: the observation, and the state of the server. */
export type Snapshot = Observation & { readonly standing: Standing }

/** An effect on the cluster. Each is idempotent. */
export type Action =
  | { readonly do: "createService"; readonly service: Service }
  | { readonly do: "patchService"; readonly service: KeptService; readonly patch: MergePatch }
  | { readonly do: "deleteService"; readonly service: KeptService; readonly reason: string }
  | { readonly do: "createPod"; readonly pod: Pod }
  | { readonly do: "deletePod"; readonly pod: KeptPod; readonly reason: string }
  | { readonly do: "patchInstance"; readonly patch: MergePatch }
  | { readonly do: "deleteInstance"; readonly reason: DeleteReason; readonly message: string }

/** The decision of one check. Absent fields are derived from what the cluster shows. */
export type Verdict = {
  /** Effects, in order; they come before the write of the status. */
  readonly actions?: readonly Action[]
  /** The state of the server; absent if it follows from the Pod. */
  readonly standing?: Standing
  /** Present = not admitted, for this reason. */
  readonly refused?: { readonly reason: RefusedReason; readonly message: string }
  /** Present = Draining is True. */
  readonly drain?: { readonly reason: DrainReason; readonly message: string }
  /** Number of the start that begins: the status fields of the Pod before it are removed. */
  readonly starts?: number
  /** No new Pod before `until` (milliseconds since the epoch). */
  readonly backoff?: { readonly seconds: number; readonly until: number }
  /** Names of other instances to reconcile now. */
  readonly wake?: readonly string[]
  /** True = the status is not written; the next pass decides with the result of the actions. */
  readonly quiet?: true
}

/** The result of one check. */
export type Finding = {
  /** Present = this check decides, and later checks do not run. */
  readonly verdict?: Verdict
  /**
   * When time alone can change what this check finds, milliseconds since the epoch; absent = never. Every moment that a
   * check compares `now` with is among them.
   */
  readonly until?: number | undefined
}

/** One check. Pure. The first check with a verdict decides; undefined = none, and time cannot change that. */
export type Check = (snapshot: Snapshot) => Finding | undefined

/** An Event, as `kubectl describe` shows it. */
export type Note = { readonly type: "Normal" | "Warning"; readonly reason: string; readonly note: string }

/** What to do about one instance. */
export type Decision = {
  /** Name of the check that decided; `running` if none did. */
  readonly check: string
  /** Effects, in order. */
  readonly actions: readonly Action[]
  /** The status as it should be. */
  readonly status: MCPInstanceStatus
  /** Merge patch of the status; undefined = nothing to write. */
  readonly statusPatch: MergePatch | undefined
  /** Events to record after the status was written. */
  readonly notes: readonly Note[]
  /** Names of other instances to reconcile now. */
  readonly wake: readonly string[]
  /** Milliseconds until time alone may change the decision; Infinity = never. */
  readonly requeueAfter: number
}
