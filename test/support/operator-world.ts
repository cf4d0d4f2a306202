import type { Intercept } from "../../src/adapters/memory/client.ts"
import { createMemoryCluster, type MemoryCluster } from "../../src/adapters/memory/cluster.ts"
import { controllerUID, findCondition } from "../../src/api/kinds/kind.ts"
import { type Event, eventKind, type Service, serviceKind } from "../../src/api/kinds/kubernetes.ts"
import { type MCPInstance, type MCPInstanceStatus, mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import { type MCPTarget, mcpTargetKind } from "../../src/api/kinds/mcp-target.ts"
import { type Pod, podKind } from "../../src/api/kinds/pod.ts"
import { createOperator, type Operator } from "../../src/operator/controller.ts"
import type { Settings } from "../../src/operator/snapshot.ts"
import type { MergePatch } from "../../src/ports/cluster.ts"
import type { ProbeRemote } from "../../src/ports/remote-probe.ts"
import { createMetrics } from "../../src/telemetry/telemetry.ts"
import { anInstance, type InstanceParts } from "./build/instance.ts"
import { someSettings } from "./build/settings.ts"
import { aTarget, type TargetParts } from "./build/target.ts"
import { type FakeClock, fakeClock } from "./fake-clock.ts"
import { type FakeKubelet, fakeKubelet } from "./fake-kubelet.ts"
import { quietTelemetry } from "./quiet-telemetry.ts"

const namespace = "reflow"

/** A write that the operator made. */
export type Write = { readonly verb: string; readonly kind: string; readonly name: string }

/** An operator on an embedded cluster with a node that does what the test says, in a time that the test turns. */
export type OperatorWorld = {
  readonly clock: FakeClock
  readonly cluster: MemoryCluster
  readonly kubelet: FakeKubelet
  /** Every write of operators, in order; Events included. */
  readonly writes: Write[]
  /** Log lines of operators. */
  readonly lines: ReturnType<typeof quietTelemetry>["lines"]
  /** What operators measured, in the Prometheus text format. */
  metrics(): Promise<string>
  /** Starts an operator and waits until it works. */
  start(more?: Partial<Settings>, intercept?: Intercept, probe?: ProbeRemote): Promise<Operator>
  /** Makes an instance, as a gateway would. */
  make(parts?: InstanceParts): Promise<MCPInstance>
  makeTarget(parts?: TargetParts): Promise<MCPTarget>
  instance(name?: string): Promise<MCPInstance | undefined>
  /** Status of an instance; empty while there is none. */
  status(name?: string): Promise<MCPInstanceStatus>
  /** Reason of a condition, `True` ones as their type. */
  reason(type: string, name?: string): Promise<string | undefined>
  edit(patch: MergePatch, name?: string): Promise<void>
  /** A gateway's write: use, or a key in inUseBy. */
  touch(status: MergePatch, name?: string): Promise<void>
  pods(): Promise<readonly Pod[]>
  /** Pods that are not terminating. */
  livePods(): Promise<readonly Pod[]>
  services(): Promise<readonly Service[]>
  events(): Promise<readonly Event[]>
  /** UIDs of instances that have a Pod, terminating or not. */
  holders(): Promise<ReadonlySet<string>>
  /** Seconds pass. */
  pass(seconds: number): Promise<void>
  close(): Promise<void>
}

const writing = new Set(["create", "apply", "mergePatch", "patchStatus", "replace", "delete", "recordEvent"])

/** Makes a world without an operator yet. */
export const operatorWorld = (): OperatorWorld => {
  const clock = fakeClock()
  const cluster = createMemoryCluster({ clock, telemetry: quietTelemetry() })
  const kubelet = fakeKubelet(cluster, clock, namespace)
  const telemetry = { ...quietTelemetry(), ...createMetrics(false) }
  const writes: Write[] = []
  const operators: Operator[] = []
  const ref = (name: string) => ({ namespace, name })
  const usual = anInstance().metadata.name

  const recording = (inner?: Intercept): Intercept => ({
    ...inner,
    call: (call, run) => {
      if (writing.has(call.verb)) writes.push({ verb: call.verb, kind: call.kind, name: call.name })
      return inner?.call === undefined ? run() : inner.call(call, run)
    },
  })
  const instance = (name = usual) => cluster.get(mcpInstanceKind, ref(name))
  const status = async (name = usual) => (await instance(name))?.status ?? {}
  const pods = async () => (await cluster.list(podKind, { namespace })).items
  return {
    clock,
    cluster,
    kubelet,
    writes,
    lines: telemetry.lines,
    metrics: telemetry.metrics,
    start: async (more = {}, intercept, probe) => {
      const client = cluster.client({ fieldManager: "reflow-operator", intercept: recording(intercept) })
      const probing = probe === undefined ? {} : { probe }
      const operator = createOperator({ cluster: client, clock, telemetry, options: someSettings(more), ...probing })
      operators.push(operator)
      await clock.advance(0)
      await operator.ready
      await clock.advance(0)
      return operator
    },
    make: (parts = {}) => {
      const { metadata, ...rest } = anInstance(parts)
      const { labels, annotations, ownerReferences } = parts.metadata ?? {}
      const given = Object.fromEntries(
        Object.entries({ labels, annotations, ownerReferences }).filter(([, value]) => value !== undefined),
      )
      return cluster.create(mcpInstanceKind, { ...rest, metadata: { name: metadata.name, namespace, ...given } })
    },
    makeTarget: (parts = {}) => {
      const { metadata, ...rest } = aTarget(parts)
      return cluster.create(mcpTargetKind, { ...rest, metadata: { name: metadata.name, namespace } })
    },
    instance,
    status,
    reason: async (type, name = usual) => {
      const condition = findCondition((await status(name)).conditions, type)
      return condition?.status === "True" && condition.type !== "Draining" ? type : condition?.reason
    },
    edit: async (patch, name = usual) => void (await cluster.mergePatch(mcpInstanceKind, ref(name), patch)),
    touch: async (patch, name = usual) =>
      void (await cluster.patchStatus(mcpInstanceKind, ref(name), { status: patch })),
    pods,
    livePods: async () => (await pods()).filter(({ metadata }) => metadata.deletionTimestamp === undefined),
    services: async () => (await cluster.list(serviceKind, { namespace })).items,
    events: async () => (await cluster.list(eventKind, { namespace })).items,
    holders: async () => new Set((await pods()).map((pod) => controllerUID(pod) ?? "")),
    pass: (seconds) => clock.advance(seconds * 1000),
    close: async () => {
      await Promise.all(operators.map((operator) => operator.close()))
      await kubelet.close()
      await cluster.close()
    },
  }
}
