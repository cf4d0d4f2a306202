import type { MCPInstance, MCPInstanceStatus } from "../api/mcp-instance.ts"
import type { MCPTarget } from "../api/mcp-target.ts"
import type { Pod } from "../api/pod.ts"
import type { Service } from "../api/service.ts"
import type { FindPluginFaults } from "../api/target-fault.ts"
import type { Config } from "../config/schema.ts"
import type { MergePatch } from "../ports/cluster.ts"
import type { DeleteReason, DrainReason, QueueReason, ReadyReason, RefusedReason } from "./reasons.ts"

/** What the operator is told once, at its start. */
export type Settings = Config["kubernetes"] & {
  /** True on the embedded cluster, where a Pod listens on the port that its node annotates. */
  readonly embedded: boolean
  /** Names of the pod templates that plugins registered. */
  readonly podTemplates: ReadonlySet<string>
  /** Lets the instance's pod templates change its Pod, in order. Pure; throws PluginFailed. */
  readonly template: (pod: Pod, instance: MCPInstance) => Pod
  /** What a target's choices of plugins are wrong about. Pure. */
  readonly pluginFaults: FindPluginFaults
  /** Short names of everything that vouches for identities; undefined if that is not known here. */
  readonly knownIssuers: readonly string[] | undefined
}

/** What of the settings stands in no configuration of the operator itself. */
export type OutsideSettings = Pick<Settings, "podTemplates" | "template" | "pluginFaults" | "knownIssuers">

/** How an instance is used, on the operator's own clock (milliseconds since the epoch). */
export type Use = {
  /** Gateways that use it now: their keys changed less than 90 s ago. */
  readonly live: readonly string[]
  /** Keys whose gateways are gone without removing them. */
  readonly dead: readonly string[]
  /** When the first of the live keys dies, if it is not renewed. */
  readonly nextDeath: number | undefined
  /** The latest moment at which it can have been used; undefined = never used. */
  readonly lastUse: number | undefined
}

/** What an instance's place under the limits is. */
export type Place =
  | { readonly kind: "granted" }
  | {
      readonly kind: "queued"
      readonly reason: QueueReason
      /** Names of instances that should look at themselves now, because they are to make room or were granted a place. */
      readonly nudge: readonly string[]
    }

/** How the server of an instance stands, in the words of the Ready condition. */
export type Standing = {
  readonly ready: boolean
  readonly reason: ReadyReason
  /** What a person needs to know, and what to do. */
  readonly message: string
  /** Present = the start counts as failed; `exitCode` of the server process where there is one. */
  readonly failed?: { readonly exitCode?: number }
  /** True if this Pod will never run again and must be replaced. */
  readonly lost?: boolean
  /** When time alone can change this judgement. */
  readonly until?: number
}

/** What the operator itself saw of a Pod, on its own clock. */
export type PodSight = {
  /** When this operator first saw the Pod. */
  readonly seenAt: number
  /** When it first saw the sign of trouble that the Pod shows now. */
  readonly signAt: number | undefined
  /** What the kubelet's events say of the startup probe. */
  readonly probe: ProbeFinding | undefined
}

/** Why a startup probe fails. */
export type ProbeFinding = { readonly reason: "HealthPathNotFound" | "PortClosed"; readonly message: string }

/** The API server's refusal to create an object. */
export type Refusal = { readonly reason: ReadyReason; readonly message: string }

/** Everything that a decision about one instance rests on, taken at one moment. */
export type Snapshot = {
  readonly instance: MCPInstance
  readonly target: MCPTarget | undefined
  /** Its Pods (by controller UID), terminating ones included. */
  readonly pods: readonly Pod[]
  /** The newest of them that is not terminating. */
  readonly pod: Pod | undefined
  /** Its Service (by controller UID), unless that is terminating. */
  readonly service: Service | undefined
  /** Whatever holds the name that its Service needs. */
  readonly serviceNamesake: Service | undefined
  /** Whatever holds the name that its next Pod needs. */
  readonly podNamesake: Pod | undefined
  /** Pods and Services that an earlier instance of this name left. */
  readonly left: { readonly pods: readonly Pod[]; readonly services: readonly Service[] }
  readonly place: Place
  /** True if it is to make room for a queued instance. */
  readonly makesRoom: boolean
  readonly use: Use
  readonly standing: Standing
  readonly podSeenAt: number | undefined
  /** When this operator first saw the drain; undefined while there is none. */
  readonly drainSeenAt: number | undefined
  /** Gateways that live, by their names in `inUseBy`. */
  readonly gateways: readonly string[]
  /** What the API server just said to a create of this pass. */
  readonly refusal: Refusal | undefined
  readonly now: number
  readonly settings: Settings
}

/** An effect on the cluster. Each is idempotent. */
export type Action =
  | { readonly do: "createService"; readonly service: Service }
  | { readonly do: "patchService"; readonly service: Service; readonly patch: MergePatch }
  | { readonly do: "deleteService"; readonly service: Service; readonly reason: string }
  | { readonly do: "createPod"; readonly pod: Pod }
  | { readonly do: "deletePod"; readonly pod: Pod; readonly reason: string }
  | { readonly do: "patchInstance"; readonly patch: MergePatch }
  | { readonly do: "deleteInstance"; readonly reason: DeleteReason; readonly message: string }

/** What one check says. Fields that are absent leave the matter as the cluster shows it. */
export type Verdict = {
  /** Effects, in order, before the status is written. */
  readonly actions?: readonly Action[]
  /** How the server stands, where that does not follow from its Pod. */
  readonly standing?: Standing
  /** Present = not admitted, for this reason. */
  readonly refused?: { readonly reason: RefusedReason; readonly message: string }
  /** Present = Draining is True. */
  readonly drain?: { readonly reason: DrainReason; readonly message: string }
  /** Number of the start that begins: everything known of the Pod before it is forgotten. */
  readonly starts?: number
  /** No new Pod before `until` (milliseconds since the epoch). */
  readonly backoff?: { readonly seconds: number; readonly until: number }
  /** Names of other instances that should look at themselves now. */
  readonly nudge?: readonly string[]
  /** True = the status is left as it is; a next pass will see what the actions did. */
  readonly quiet?: true
}

/** A named step of the decision. The first one that has a verdict decides. */
export type Check = (snapshot: Snapshot) => Verdict | undefined

/** A line for `kubectl describe`. */
export type Note = { readonly type: "Normal" | "Warning"; readonly reason: string; readonly note: string }

/** What is to be done about one instance. */
export type Decision = {
  /** Name of the check that decided. */
  readonly check: string
  readonly actions: readonly Action[]
  /** The status as it should be. */
  readonly status: MCPInstanceStatus
  /** Merge patch of the status; undefined = nothing to write. */
  readonly statusPatch: MergePatch | undefined
  readonly notes: readonly Note[]
  readonly nudge: readonly string[]
  /** Milliseconds until the next look, if nothing happens before. */
  readonly requeueAfter: number
}
