import { randomBytes } from "node:crypto"
import { hostname } from "node:os"
import { gatewaysLeaseName, leaseName } from "../adapters/kube/access.ts"
import { systemClock } from "../adapters/system/clock.ts"
import { type Election, electLeader } from "../election/leader.ts"
import { hasCode } from "../errors.ts"
import { createBridgeSupply } from "../operator/bridge-supply.ts"
import { createOperator, type Operator } from "../operator/controller.ts"
import { createRemoteProbe } from "../outgoing/probe.ts"
import type { PluginHost } from "../plugin/host.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { ClusterPort } from "../ports/cluster.ts"
import type { ProbeRemote } from "../ports/remote-probe.ts"
import { untilAborted } from "../waiting/until-aborted.ts"
import { clusterIssuers } from "./bootstrap-token.ts"
import { readBridgePrograms } from "./bridge-program.ts"
import { type KubeRoleOptions, kubeTelemetry, openCluster } from "./kube.ts"
import { startHealth } from "./listen/health-listener.ts"
import { createOutgoing } from "./outgoing.ts"
import { loadPlugins, outsideOf } from "./plugins.ts"
import { type Base, type RunningRole, runRole } from "./role.ts"

/** Dependencies of {@link startOperatorHalf}. */
export type OperatorHalfDeps = Pick<Base, "config" | "telemetry" | "fail"> & {
  readonly cluster: ClusterPort
  /** The plugins' pod templates, and the check of each target's choices of plugins. */
  readonly plugins: Pick<PluginHost, "podTemplates" | "template" | "faults">
  /** Namespace of the operator's Lease and of the gateways' Lease. */
  readonly ownNamespace: string
  /** How the servers of remote targets are probed; without it nothing is known of them. */
  readonly probe?: ProbeRemote
  /** After a loss of leadership: `role` ends the role with the error, `half` takes part in the election again. */
  readonly ends: "role" | "half"
  /** Default: the machine's. */
  readonly clock?: ClockPort
}

/** The operator half of a process: a standby, or the leader. */
export type OperatorHalf = {
  /** Resolves when it reconciles as the leader, or is a standby with a known leader. Rejects if it is closed first. */
  readonly settled: Promise<void>
  /** True for a standby that has reached the API server, and for a leader whose caches are filled. */
  isReady(): boolean
  /** False if the election or the operator is stuck; /healthz then fails and the kubelet restarts the container. */
  isAlive(): boolean
  /** Ends the operator, then releases the Lease, so that another replica can lead at once. */
  close(): Promise<void>
}

/**
 * Takes part in the election and runs the operator while this replica leads. A standby watches no objects: it costs the
 * API server one call in two seconds. A new leader starts from fresh lists, not from a cache that may be stale.
 */
export const startOperatorHalf = (deps: OperatorHalfDeps): OperatorHalf => {
  const { cluster, telemetry, config, ownNamespace, ends, plugins, probe, clock = systemClock } = deps
  const lease = { namespace: ownNamespace, name: leaseName }
  const gateways = { namespace: ownNamespace, name: gatewaysLeaseName }
  const holder = `${hostname()}_${randomBytes(6).toString("hex")}`
  const outside = outsideOf(plugins, clusterIssuers(config.auth))
  const settled = Promise.withResolvers<void>()
  settled.promise.catch(() => {})
  const closing = new AbortController()
  let election: Election | undefined
  let operator: Operator | undefined
  let hasAnswer = false
  let works = false

  const settle = async (current: Election): Promise<void> => {
    await current.answered
    hasAnswer = true
    if (!current.isLeader()) settled.resolve()
  }
  /** Waits until the election is won, then runs the operator until `ending` settles. */
  const lead = async (current: Election, ending: Promise<void>): Promise<void> => {
    await Promise.race([current.acquired, ending])
    if (!current.isLeader()) return
    const bridge = createBridgeSupply({
      ...{ cluster, clock, log: telemetry.log },
      namespace: config.kubernetes.namespace,
      config: config.kubernetes.bridge,
      programs: readBridgePrograms(process.argv),
    })
    await bridge.open(AbortSignal.any([current.signal, closing.signal]))
    const options = { ...config.kubernetes, embedded: false, bridge }
    const probing = probe === undefined ? {} : { probe }
    operator = createOperator({ cluster, clock, telemetry, options, outside, gateways, ...probing })
    try {
      works = await Promise.race([operator.ready.then(() => true), ending.then(() => false)])
      if (works) settled.resolve()
      await ending
    } finally {
      works = false
      await operator.close()
      operator = undefined
    }
  }
  /** One candidacy. Throws `LeadershipLost` at its end, or an AbortError if the half is closed. */
  const campaign = async (): Promise<void> => {
    const current = electLeader({ cluster, clock, telemetry, lease, holder })
    election = current
    settle(current).catch(() => {})
    try {
      await lead(current, untilAborted(AbortSignal.any([current.signal, closing.signal])))
      closing.signal.throwIfAborted()
      current.signal.throwIfAborted()
    } finally {
      await current.close()
    }
  }
  const run = async (): Promise<void> => {
    while (!closing.signal.aborted) {
      try {
        await campaign()
      } catch (error) {
        if (closing.signal.aborted) return
        if (ends === "role" || !hasCode(error, "LeadershipLost")) throw error
        telemetry.log.warn("taking part in the election again")
      }
    }
  }
  const running = run().catch(deps.fail)

  return {
    settled: settled.promise,
    isReady: () => (election?.isLeader() === true ? works : hasAnswer),
    isAlive: () => election?.isAlive() === true && operator?.isAlive() !== false,
    close: async () => {
      closing.abort()
      settled.reject(new DOMException("The operator was closed.", "AbortError"))
      await running
    },
  }
}

const start = async (base: Base): Promise<void> => {
  const { signal, started } = base
  let half: OperatorHalf | undefined
  await startHealth(base, {
    isReady: () => half?.isReady() === true && !signal.aborted,
    isAlive: () => half?.isAlive() !== false,
  })
  const actor = await openCluster(base, "reflow-operator")
  const plugins = await loadPlugins({ ...base, clock: systemClock })
  const outgoing = createOutgoing({ ...base, role: "operator", apiServer: () => actor.cluster.server })
  half = startOperatorHalf({ ...base, ...actor, plugins, probe: createRemoteProbe(outgoing), ends: "role" })
  await started.add("operator", half.close)
  await half.settled
}

/**
 * The role operator: takes part in the election and reconciles while it leads. It fails with LeadershipLost when it
 * loses the Lease. If the API server cannot be reached at the start, the role waits for it.
 */
export const startOperator = (options: KubeRoleOptions): RunningRole =>
  runRole({ config: options.config, telemetry: kubeTelemetry(options) }, start)
