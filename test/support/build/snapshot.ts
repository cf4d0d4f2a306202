import type { MCPInstance } from "../../../src/api/kinds/mcp-instance.ts"
import { labels } from "../../../src/api/names.ts"
import { imageOf } from "../../../src/operator/desired/package.ts"
import type { KeptPod } from "../../../src/operator/kept.ts"
import { judge } from "../../../src/operator/server-state.ts"
import type { PodSight, Snapshot, Standing, Use } from "../../../src/operator/snapshot.ts"
import { moment } from "../../../src/operator/time.ts"
import { aCondition, anInstance } from "./instance.ts"
import { birth, msAfter } from "./metadata.ts"
import { aPod, readyStatus } from "./pod.ts"
import { aService } from "./service.ts"
import { someSettings } from "./settings.ts"

/** Nobody has used it. */
export const unused: Use = { live: [], expired: [], nextExpiry: undefined, lastUse: undefined }

/** A gateway uses it now. */
export const inUse = (now: number): Use => ({ live: ["gw-0"], expired: [], nextExpiry: now + 60_000, lastUse: now })

/** What a test says of a snapshot. The standing follows from the Pod unless it is given. */
export type SnapshotParts = Partial<Omit<Snapshot, "pods" | "sight">> & {
  readonly pods?: readonly KeptPod[]
  readonly sight?: Partial<PodSight> | undefined
}

/** A snapshot of an instance that was just made: no Pod, no Service, a place granted. */
export const aSnapshot = ({ sight, ...parts }: SnapshotParts = {}): Snapshot => {
  const instance = parts.instance ?? anInstance()
  const now = parts.now ?? msAfter(0)
  const settings = parts.settings ?? someSettings()
  const { pod } = parts
  const { spec, status } = instance
  const startTimeoutMs = settings.start_timeout
  const seen: PodSight = { seenAt: msAfter(0), signAt: undefined, probe: undefined, ...sight }
  const standing: Standing =
    pod === undefined
      ? { ready: false, reason: "Pending", message: "The Pod is being created." }
      : judge({ pod, spec, image: imageOf(spec, settings), failure: status?.failure, sight: seen, startTimeoutMs, now })
  return {
    target: undefined,
    service: undefined,
    serviceNamesake: parts.service,
    podNamesake: undefined,
    left: { pods: [], services: [] },
    place: { kind: "granted" },
    makesRoom: false,
    use: unused,
    drainSeenAt: undefined,
    gateways: [],
    refusal: undefined,
    ...parts,
    sight: pod === undefined ? undefined : seen,
    instance,
    pod,
    pods: parts.pods ?? (pod === undefined ? [] : [pod]),
    standing: parts.standing ?? standing,
    now,
    settings,
  }
}

const admitted = aCondition("Admitted", "True", "Admitted")

/** An instance whose server has been Ready since {@link birth}, as its status says. */
export const aReadyInstance = (parts: Parameters<typeof anInstance>[0] = {}): MCPInstance => {
  const plain = anInstance(parts)
  const pod = aPod({ of: plain })
  return anInstance({
    ...parts,
    status: {
      phase: "Ready",
      conditions: [admitted, aCondition("PodReady", "True", "Ready"), aCondition("Ready", "True", "Ready")],
      starts: 1,
      podName: pod.metadata.name,
      readyTime: birth,
      startTime: birth,
      observedGeneration: plain.metadata.generation ?? 1,
      ...parts.status,
    },
  })
}

/** A snapshot of {@link aReadyInstance} with its Pod and Service, `seconds` after birth. */
export const aReadySnapshot = (seconds: number, parts: SnapshotParts = {}): Snapshot => {
  const instance = parts.instance ?? aReadyInstance()
  const pod = parts.pod ?? aPod({ of: instance, status: readyStatus() })
  const service = aService({ of: instance, pod: pod.metadata.name })
  return aSnapshot({ instance, pod, service, now: msAfter(seconds), ...parts })
}

/** `instance` with a drain that goes on since birth, as its status says. */
export const draining = (instance: MCPInstance, reason: string, deadline: string): MCPInstance => ({
  ...instance,
  status: {
    ...instance.status,
    phase: "Draining",
    conditions: [...(instance.status?.conditions ?? []), aCondition("Draining", "True", reason)],
    drainDeadlineTime: deadline,
  },
})

/** Name of the label by which a Service selects its Pod. */
export const podLabel = labels.pod

/** The moment of a text, or NaN: for comparisons in tests. */
export const at = (text: string | undefined): number => moment(text) ?? Number.NaN
