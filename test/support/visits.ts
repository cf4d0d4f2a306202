import { type MCPInstance, mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import { type MCPTarget, mcpTargetKind } from "../../src/api/kinds/mcp-target.ts"
import { podKind } from "../../src/api/kinds/pod.ts"
import { createCompose } from "../../src/credentials/compose.ts"
import { createNeedleShare } from "../../src/credentials/needle-share.ts"
import { subjectKeyFor } from "../../src/identity/subject-key.ts"
import type { Probe } from "../../src/placement/know/probe.ts"
import { createPlacement, type PlacementOptions } from "../../src/placement/placement.ts"
import type { Placement, PlacementPort } from "../../src/placement/port.ts"
import { announcePresence } from "../../src/placement/use/presence.ts"
import type { ClockPort } from "../../src/ports/clock.ts"
import type { ClusterPort, ObjectRef } from "../../src/ports/cluster.ts"
import { lateReflection } from "./around-port.ts"
import { someSettings } from "./build/settings.ts"
import { identity } from "./build/who.ts"
import { quietTelemetry } from "./quiet-telemetry.ts"

const issuers = ["corp"]

/** What a gateway's placement is made of. */
export type GatewayParts = {
  readonly cluster: ClusterPort
  readonly clock: ClockPort
  readonly namespace: string
  readonly replica: string
  /** How late its watch of the instances is, milliseconds; default not at all. */
  readonly lateMs?: number
  readonly options?: Partial<PlacementOptions>
  /** The Lease in which it says that it lives; default: it does not say so. */
  readonly lease?: ObjectRef
  /** How servers are probed; default: each answers at once. */
  readonly probe?: Probe
}

/** A gateway's placement. */
export type GatewayHalf = { readonly placement: PlacementPort; close(): Promise<void> }

/** Starts a gateway's placement. Close it. */
export const startGatewayHalf = async (parts: GatewayParts): Promise<GatewayHalf> => {
  const { cluster, clock, namespace, replica, lateMs = 0, options, lease, probe = async () => "answered" } = parts
  const { log } = quietTelemetry()
  const presence =
    lease && (await announcePresence({ cluster, clock, log, lease, replica }, new AbortController().signal))
  const watched = cluster.watch(mcpInstanceKind, { namespace })
  const targets = cluster.watch(mcpTargetKind, { namespace })
  await Promise.all([watched.synced, targets.synced])
  const instances = lateMs === 0 ? watched : lateReflection(watched, clock, lateMs)
  const placement = createPlacement({
    needles: createNeedleShare(),
    cluster,
    instances,
    targets,
    compose: createCompose({ cluster, namespace }),
    clock,
    telemetry: quietTelemetry(),
    replica,
    options: { ...someSettings({ namespace }), max_waiting: 10_000, issuers, ...options },
    probe,
  })
  return {
    placement,
    close: async () => {
      await placement.close()
      await Promise.all([instances.close(), targets.close()])
      await presence?.close()
    },
  }
}

/** A request and the call that follows: what became of it. */
export type Visit = {
  placed?: Placement
  error?: unknown
  /** What was wrong while the call ran: its server ended, or was about to. */
  lost?: string
  /** Resolves when the call is over; never rejects. */
  readonly over: Promise<void>
}

/** Who makes a call, where, for how long. */
export type VisitParts = {
  readonly target: MCPTarget
  readonly subject: string
  readonly callMs: number
  /** Whose word about the objects counts. */
  readonly truth: ClusterPort
  readonly clock: ClockPort
}

/** Why the server that a call was sent to does not run to its end; undefined if it runs. */
const troubleOf = async (truth: ClusterPort, namespace: string, placed: Placement): Promise<string | undefined> => {
  const [podUID] = placed.incarnation.split(".")
  const instance: MCPInstance | undefined = await truth.get(mcpInstanceKind, { namespace, name: placed.instance })
  if (instance?.metadata.uid !== placed.instanceUID) return "the instance is gone"
  if (instance.metadata.deletionTimestamp !== undefined) return "the instance is being deleted"
  if (instance.status?.incarnation !== placed.incarnation) return "the server has another life"
  const pod = await truth.get(podKind, { namespace, name: instance.status.podName ?? "" })
  if (pod?.metadata.uid !== podUID) return "the Pod is gone"
  return pod?.metadata.deletionTimestamp === undefined ? undefined : "the Pod is being deleted"
}

/** Begins a request; once placed, a call that lasts `callMs`, at whose beginning and end the server must live. */
export const visit = ({ placement }: GatewayHalf, parts: VisitParts): Visit => {
  const { target, subject, callMs, truth, clock } = parts
  const who = identity({ subject })
  const namespace = target.metadata.namespace ?? ""
  const found: { placed?: Placement; error?: unknown; lost?: string } = {}
  const run = async (): Promise<void> => {
    const subjectKey = subjectKeyFor(target, who, { issuers })
    if (typeof subjectKey !== "string") throw new Error(`${subject} has no key`)
    const signal = new AbortController().signal
    const placed = await placement.place({ target, identity: who, subjectKey, mode: "create", signal })
    found.placed = placed
    const end = placement.beginCall(placed)
    const look = async (when: string): Promise<void> => {
      const trouble = await troubleOf(truth, namespace, placed)
      if (trouble !== undefined) found.lost ??= `${when} of a call of ${callMs} ms ${trouble}`
    }
    await look("at the beginning")
    if (callMs > 0) await clock.sleep(callMs)
    await look("at the end")
    end()
  }
  const over = run().catch((error: unknown) => {
    found.error = error
  })
  return Object.assign(found, { over })
}
