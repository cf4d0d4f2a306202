import { isTrue } from "../api/kinds/kind.ts"
import type { MCPInstance } from "../api/kinds/mcp-instance.ts"
import type { MCPTarget } from "../api/kinds/mcp-target.ts"
import type { Config } from "../config/schema.ts"
import type { Compose } from "../credentials/compose.ts"
import type { NeedleShare } from "../credentials/needle-share.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { ClusterPort, Reflection } from "../ports/cluster.ts"
import type { TelemetryPort } from "../ports/telemetry.ts"
import type { Decision } from "./decide.ts"
import { createInstanceView, type InstanceView } from "./know/instance-view.ts"
import { probe as networkProbe, type Probe } from "./know/probe.ts"
import { createReach, type Reach } from "./know/reachable.ts"
import { createEffects, type Effects } from "./make/effects.ts"
import { createDrainNotices, type DrainNotices } from "./use/drain-notice.ts"
import { createInUseMarks, type InUseMarks } from "./use/in-use.ts"
import { createUseStamps, type UseStamps } from "./use/last-used.ts"
import { createVisitDecision, type Visit } from "./visit.ts"
import { type Attendant, createAttendant } from "./waiting/attend.ts"
import { createWaitingRoom, type WaitingRoom } from "./waiting/waiting-room.ts"

/** The settings of placement, under their names in the configuration. */
export type PlacementOptions = Pick<
  Config["kubernetes"],
  "namespace" | "hold_timeout" | "idle_ttl" | "stream_ttl" | "max_instances" | "expose_subjects"
> &
  Pick<Config["gateway"], "max_waiting"> & {
    /** Names of the configured issuers; see identity/access.ts. */
    readonly issuers: readonly string[]
  }

/** Dependencies of placement. The caller owns the reflections and closes them after placement. */
export type PlacementDeps = {
  readonly cluster: ClusterPort
  readonly instances: Reflection<MCPInstance>
  readonly targets: Reflection<MCPTarget>
  readonly compose: Compose
  /** Secret values to mask in logs; shared with the REST API. */
  readonly needles: NeedleShare
  readonly clock: ClockPort
  readonly telemetry: TelemetryPort
  /** This gateway's name in `inUseBy`: unique among replicas, e.g. the Pod's name. */
  readonly replica: string
  readonly options: PlacementOptions
  /** How addresses are probed; by default over the network. */
  readonly probe?: Probe
}

/** The parts of placement, connected to each other. */
export type Parts = {
  readonly view: InstanceView
  readonly reach: Reach
  readonly room: WaitingRoom<Visit>
  readonly marks: InUseMarks
  readonly stamps: UseStamps
  readonly notices: DrainNotices
  readonly attendant: Attendant
  /** Decides what to do with a request now. */
  readonly decide: (visit: Visit) => Decision
}

const strangerWarning =
  "somebody else accepts connections to addresses of Services that are not routed yet, for example a transparent proxy: " +
  "servers are called at their Pod's address at first; do not route the Service network out of the cluster"

const isReady = (instance: MCPInstance | undefined): boolean => isTrue(instance?.status?.conditions, "Ready")

/** Makes the function that passes each change of an instance to the parts. */
const createOnChange =
  ({ view, reach, marks, stamps, notices, attendant }: Parts) =>
  (name: string, previous: MCPInstance | undefined): void => {
    const instance = view.get(name)
    const before = previous?.metadata.uid
    if (before !== undefined && before !== instance?.metadata.uid) {
      marks.forget(before)
      stamps.forget(before)
      notices.forget(before)
      reach.forget(name)
    }
    if (instance !== undefined) {
      // the server that answered may have ended: its address must answer a probe again before it is used
      if (isReady(previous) && !isReady(instance)) reach.forget(name)
      if (isTrue(instance.status?.conditions, "Draining")) void marks.hurry(instance.metadata.uid ?? "")
      notices.see(instance)
      if (reach.url(instance, true) !== undefined) reach.ensure(instance)
    }
    attendant.attend(name)
  }

const effectsOf = (deps: PlacementDeps, view: InstanceView, signal: AbortSignal): Effects =>
  createEffects({
    cluster: deps.cluster,
    namespace: deps.options.namespace,
    compose: deps.compose,
    needles: deps.needles,
    clock: deps.clock,
    log: deps.telemetry.log.child({ part: "placement" }),
    view,
    targets: deps.targets,
    replica: deps.replica,
    issuers: deps.options.issuers,
    exposeSubjects: deps.options.expose_subjects,
    signal,
  })

const roomOf = ({ clock, options }: PlacementDeps, onEmpty: (name: string) => void): WaitingRoom<Visit> =>
  createWaitingRoom(clock, options.max_waiting, onEmpty)

/** Makes the parts. `signal` aborts their calls to the cluster. */
export const createParts = (deps: PlacementDeps, signal: AbortSignal): Parts => {
  const { cluster, instances, clock, options } = deps
  const view = createInstanceView({
    cluster,
    namespace: options.namespace,
    instances,
    clock,
    onChange: (name, previous) => onChange(name, previous),
  })
  const effects = effectsOf(deps, view, signal)
  const room = roomOf(deps, (name) => attendant.settleUse(name))
  const reach = createReach({
    clock,
    probe: deps.probe ?? networkProbe,
    isWanted: (name) => room.has(name),
    onReached: (name) => attendant.attend(name),
    onStranger: () => deps.telemetry.log.warn(strangerWarning),
  })
  const marks = createInUseMarks({
    clock,
    write: effects.writeMark,
    marksOn: ({ name, uid }) => {
      const instance = view.get(name)
      return instance?.metadata.uid === uid ? instance.status?.inUseBy : undefined
    },
    replica: deps.replica,
  })
  const stamps = createUseStamps({
    clock,
    write: effects.writeStamp,
    idleTTLMs: options.idle_ttl,
    maxInstances: options.max_instances,
    view,
  })
  const notices = createDrainNotices({ clock, find: view.get, markCalls: marks.hurry, write: effects.writeNotice })
  const decide = createVisitDecision(view, reach)
  const attendant = createAttendant({ room, view, reach, marks, stamps, effects, decide })
  const parts = { view, reach, room, marks, stamps, notices, attendant, decide }
  const onChange = createOnChange(parts)
  // instances already draining at start cause no change event; report them here
  for (const instance of instances.items()) notices.see(instance)
  return parts
}
