/**
 * How the bridge gets to stdio servers on a cluster: what is configured, and what the cluster turned out to serve. The
 * ConfigMap with the bridge's file is kept here.
 */

import { type ConfigMap, configMapKind } from "../api/kinds/kubernetes.ts"
import type { Pod } from "../api/kinds/pod.ts"
import { podKind } from "../api/kinds/pod.ts"
import { digest, labels, recommendedLabels } from "../api/names.ts"
import type { Config } from "../config/schema.ts"
import { hasCode } from "../errors.ts"
import { type ClockPort, leftOf } from "../ports/clock.ts"
import type { ClusterPort } from "../ports/cluster.ts"
import type { Logger } from "../ports/telemetry.ts"
import { bridgeFile, bridgeName, installerFile } from "./desired/bridge.ts"
import type { BridgeSupply } from "./desired/bridge-delivery.ts"
import { bridgeParts } from "./desired/bridge-parts.ts"
import { resourcesOf } from "./desired/resources.ts"

/** The supply of the embedded cluster, whose processes run this machine's own bridge. */
export const localBridge = (command: readonly string[]): BridgeSupply => ({
  deliveryFor: () => ({ kind: "Local", command }),
  pullSecrets: [],
  shareProcesses: false,
  keep: async () => false,
  repair: async () => {},
})

/** The programs that the ConfigMap of the bridge carries into Pods, each as the text of one file. */
export type BridgePrograms = { readonly bridge: string; readonly installer: string }

/** What the supply of a cluster needs. */
type SupplyDeps = {
  readonly cluster: ClusterPort
  readonly clock: ClockPort
  readonly log: Logger
  /** Namespace of the instances. */
  readonly namespace: string
  readonly config: Config["kubernetes"]["bridge"]
  /** The files of bridge and installer; undefined = this program has none. */
  readonly programs: BridgePrograms | undefined
}

/** How long image volumes are not used after a Pod did not get one, milliseconds. */
const withoutVolumesMs = 3_600_000

/** How long the first questions to the API server may take, milliseconds. */
const openMs = 10_000

const filesOf = ({ bridge, installer }: BridgePrograms): Readonly<Record<string, string>> => ({
  [bridgeFile]: bridge,
  [installerFile]: installer,
})

/** Name of the ConfigMap with these programs: others have another name, so that no running Pod changes. */
export const bridgeConfigMapName = (programs: BridgePrograms): string =>
  `${bridgeName}-${digest(10, JSON.stringify(filesOf(programs)))}`

const configMapOf = (programs: BridgePrograms, namespace: string): ConfigMap => ({
  apiVersion: configMapKind.apiVersion,
  kind: configMapKind.kind,
  metadata: {
    name: bridgeConfigMapName(programs),
    namespace,
    labels: { "app.kubernetes.io/part-of": "reflow-gateway", "app.kubernetes.io/component": "bridge" },
  },
  immutable: true,
  data: filesOf(programs),
})

/**
 * Creates the ConfigMap with the files of bridge and installer. True if it is there with exactly this content; an object of the same
 * name with other content is not used. Rejects with the cluster's error.
 */
const ensurePrograms = async (
  { cluster, namespace }: SupplyDeps,
  programs: BridgePrograms,
  signal: AbortSignal,
): Promise<boolean> => {
  const object = configMapOf(programs, namespace)
  const { name } = object.metadata
  // one that can be changed could become the bridge of other users' Pods later
  const isSame = (found: ConfigMap | undefined): boolean =>
    found?.immutable === true && Object.entries(filesOf(programs)).every(([file, text]) => found.data?.[file] === text)
  if (isSame(await cluster.get(configMapKind, { namespace, name }, { signal }))) return true
  try {
    return isSame(await cluster.create(configMapKind, object, { signal }))
  } catch (error) {
    if (!hasCode(error, "ApiAlreadyExists")) throw error
    return isSame(await cluster.get(configMapKind, { namespace, name }, { signal }))
  }
}

/** Name of the Pod that is only tried. */
const trial = `${bridgeName}-trial`

/** A Pod that is only tried, never created: does the API server keep its image volume? */
const trialPod = (image: string, namespace: string): Pod => {
  const parts = bridgeParts({ kind: "ImageVolume", image })
  return {
    apiVersion: podKind.apiVersion,
    kind: podKind.kind,
    metadata: { name: trial, namespace, labels: { ...recommendedLabels(trial), [labels.target]: trial } },
    spec: {
      automountServiceAccountToken: false,
      containers: [
        {
          name: "trial",
          image,
          resources: resourcesOf(undefined),
          securityContext: {
            allowPrivilegeEscalation: false,
            capabilities: { drop: ["ALL"] },
            readOnlyRootFilesystem: true,
          },
          ...(parts === undefined ? {} : { volumeMounts: parts.mounts }),
        },
      ],
      securityContext: { runAsNonRoot: true, runAsUser: 65532, seccompProfile: { type: "RuntimeDefault" } },
      volumes: parts?.volumes ?? [],
    },
  }
}

/**
 * True if the API server serves image volumes: without the feature it drops the volume's source without a word, or
 * refuses the Pod. Rejects with the cluster's other errors.
 */
const servesImageVolumes = async ({ cluster, namespace, config }: SupplyDeps, signal: AbortSignal) => {
  try {
    const answer = await cluster.create(podKind, trialPod(config.image, namespace), { signal, dryRun: true })
    return answer.spec.volumes?.some(({ name, image }) => name === bridgeName && image !== undefined) === true
  } catch (error) {
    if (hasCode(error, "ApiInvalid")) return false
    throw error
  }
}

/** The supply of a cluster; call {@link ClusterBridge.open} before the first Pod is made. */
export type ClusterBridge = BridgeSupply & {
  /** Creates the ConfigMap and finds out what the cluster serves. Never rejects: what failed is tried again later. */
  open(signal: AbortSignal): Promise<void>
}

/** Creates the supply of a cluster. */
export const createBridgeSupply = (deps: SupplyDeps): ClusterBridge => {
  const { config, clock, log, programs } = deps
  const name = programs === undefined ? undefined : bridgeConfigMapName(programs)
  let hasConfigMap = false
  /** What `keep` last told of it: a repair between two of its calls is news too. */
  let toldConfigMap = false
  /** What the API server said; image volumes are tried while it has said nothing. */
  let servesVolumes: boolean | undefined
  /** When a Pod last did not get its volume, milliseconds since the epoch. */
  let missedAt = Number.NEGATIVE_INFINITY
  const warned = new Set<string>()
  /** The same trouble comes back every minute, also together with another: it is told once. */
  const warn = (message: string, error?: unknown): void => {
    if (!warned.has(message)) log.warn(message, { name, error })
    warned.add(message)
  }

  const ensure = async (signal: AbortSignal): Promise<void> => {
    if (programs === undefined) return
    try {
      hasConfigMap = await ensurePrograms(deps, programs, signal)
      if (!hasConfigMap) warn("a foreign ConfigMap has the name of the bridge's")
    } catch (error) {
      // what is there may still be used: only its absence, or another content, ends that
      if (!signal.aborted) warn("the ConfigMap of the bridge could not be read or created", error)
    }
  }
  const probe = async (signal: AbortSignal): Promise<void> => {
    if (config.image === "" || config.delivery !== "auto" || servesVolumes !== undefined) return
    try {
      servesVolumes = await servesImageVolumes(deps, signal)
      if (!servesVolumes) log.info("image volumes are not served here: the bridge is copied into Pods")
    } catch (error) {
      if (!signal.aborted) warn("whether image volumes are served could not be found out", error)
    }
  }
  const takesVolumes = (): boolean => {
    if (config.delivery !== "auto") return config.delivery === "image_volume"
    return servesVolumes !== false && leftOf(missedAt, withoutVolumesMs, clock.now()) === 0
  }
  const learn = async (signal: AbortSignal): Promise<void> => {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(openMs)])
    await Promise.all([ensure(limit), probe(limit)])
  }
  return {
    open: async (signal) => {
      await learn(signal)
      toldConfigMap = hasConfigMap
    },
    keep: async (signal) => {
      const before = [toldConfigMap, takesVolumes()]
      await learn(signal)
      toldConfigMap = hasConfigMap
      return before[0] !== hasConfigMap || before[1] !== takesVolumes()
    },
    deliveryFor: ({ node }) => {
      if (node !== undefined && name !== undefined && hasConfigMap) return { kind: "ConfigMap", name }
      if (config.image === "") return undefined
      return { kind: takesVolumes() ? "ImageVolume" : "Copy", image: config.image }
    },
    pullSecrets: config.image_pull_secrets,
    shareProcesses: config.share_processes,
    repair: async (kind) => {
      if (kind === "ImageVolume") missedAt = clock.now()
      if (kind === "ConfigMap") await ensure(AbortSignal.timeout(openMs))
    },
  }
}
