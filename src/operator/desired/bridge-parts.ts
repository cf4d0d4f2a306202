/** The volume, and the init container, that bring the bridge and the installer into a Pod. */
import { isDeepStrictEqual } from "node:util"
import type { Container, Pod } from "../../api/kinds/pod.ts"
import { bridgeFolder, bridgeName } from "./bridge.ts"
import type { BridgeDelivery, BridgeSupply } from "./bridge-delivery.ts"
import type { OwnParts } from "./own-parts.ts"

/** Seconds that a stdio server gets in addition. */
const bridgeGraceSeconds = 2

/** Where a container sees the bridge. */
export const bridgeMount = { name: bridgeName, mountPath: bridgeFolder, readOnly: true }

/** The init container that copies the folder of the bridge into an emptyDir. */
const copier = (image: string): Container => ({
  name: bridgeName,
  image,
  imagePullPolicy: "IfNotPresent",
  args: ["--role", "bridge", "--install", bridgeFolder],
  volumeMounts: [{ name: bridgeName, mountPath: bridgeFolder }],
  resources: { requests: { cpu: "10m", memory: "64Mi" }, limits: { cpu: "1", memory: "256Mi" } },
})

/** The parts that bring the bridge into a Pod; undefined if nothing is needed. */
export const bridgeParts = (delivery: BridgeDelivery | undefined): OwnParts | undefined => {
  const mounts = [bridgeMount]
  switch (delivery?.kind) {
    case "ConfigMap":
      return {
        mounts,
        volumes: [{ name: bridgeName, configMap: { name: delivery.name, defaultMode: 0o444 } }],
        initContainers: [],
      }
    case "ImageVolume":
      return {
        mounts,
        volumes: [{ name: bridgeName, image: { reference: delivery.image, pullPolicy: "IfNotPresent" } }],
        initContainers: [],
      }
    case "Copy":
      return { mounts, volumes: [{ name: bridgeName, emptyDir: {} }], initContainers: [copier(delivery.image)] }
    default:
      return undefined
  }
}

/** What the bridge's presence asks of a Pod, besides its parts. */
export type BridgeTerms = {
  /** How the bridge gets into the Pod; undefined = it has none. */
  readonly delivery: BridgeDelivery | undefined
  readonly bridge: BridgeSupply | undefined
  /** True if the bridge runs the server, false if only the installer came with it. */
  readonly isStdio: boolean
}

/** True if a Pod must be changed for a bridge that comes from outside of it. */
const isDelivered = ({ delivery }: BridgeTerms): boolean => delivery !== undefined && delivery.kind !== "Local"

/** The Pod without the fields that {@link withBridgeTerms} set. */
export const withoutBridgeTerms = (pod: Pod, terms: BridgeTerms): Pod => {
  const { bridge, isStdio } = terms
  if (bridge === undefined || !isDelivered(terms)) return pod
  const { shareProcessNamespace, imagePullSecrets, ...spec } = pod.spec
  const isOurs = (secret: unknown) => bridge.pullSecrets.some((name) => isDeepStrictEqual(secret, { name }))
  const secrets = Array.isArray(imagePullSecrets) ? imagePullSecrets.filter((each) => !isOurs(each)) : imagePullSecrets
  const sharing = shareProcessNamespace === undefined || (isStdio && bridge.shareProcesses)
  return {
    ...pod,
    spec: {
      ...spec,
      ...(sharing ? {} : { shareProcessNamespace }),
      ...(secrets === undefined ? {} : { imagePullSecrets: secrets }),
    },
  }
}

/** The Pod with the pull secrets of the bridge's image and, for a stdio server, time to end and shared processes. */
export const withBridgeTerms = (pod: Pod, terms: BridgeTerms): Pod => {
  const { bridge, isStdio } = terms
  if (bridge === undefined || !isDelivered(terms)) return pod
  const { imagePullSecrets = [], terminationGracePeriodSeconds = 0, ...spec } = pod.spec
  const more = bridge.pullSecrets.filter((name) => imagePullSecrets.every((own) => own.name !== name))
  const secrets = [...imagePullSecrets, ...more.map((name) => ({ name }))]
  return {
    ...pod,
    spec: {
      ...spec,
      // the bridge ends its children in two steps of five seconds
      terminationGracePeriodSeconds: terminationGracePeriodSeconds + (isStdio ? bridgeGraceSeconds : 0),
      ...(isStdio && bridge.shareProcesses ? { shareProcessNamespace: true } : {}),
      ...(secrets.length === 0 ? {} : { imagePullSecrets: secrets }),
    },
  }
}
