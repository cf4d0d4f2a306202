/** The volume, and the init container, that bring the bridge into a Pod. */
import { isDeepStrictEqual } from "node:util"
import type { Container, Pod, PodSpec } from "../../api/kinds/pod.ts"
import { bridgeFolder, bridgeName } from "./bridge.ts"
import type { BridgeDelivery, BridgeSupply } from "./bridge-delivery.ts"

/** Seconds that a stdio server gets in addition. */
const bridgeGraceSeconds = 2

/** What brings the bridge into a Pod, besides the server's command line. */
export type BridgeParts = {
  readonly volume: NonNullable<PodSpec["volumes"]>[number]
  readonly mount: NonNullable<Container["volumeMounts"]>[number]
  readonly initContainer?: Container
}

const mount = { name: bridgeName, mountPath: bridgeFolder, readOnly: true }

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
export const bridgeParts = (delivery: BridgeDelivery | undefined): BridgeParts | undefined => {
  switch (delivery?.kind) {
    case "ConfigMap":
      return { mount, volume: { name: bridgeName, configMap: { name: delivery.name, defaultMode: 0o444 } } }
    case "ImageVolume":
      return { mount, volume: { name: bridgeName, image: { reference: delivery.image, pullPolicy: "IfNotPresent" } } }
    case "Copy":
      return { mount, volume: { name: bridgeName, emptyDir: {} }, initContainer: copier(delivery.image) }
    default:
      return undefined
  }
}

/** True for equal values; a template may have written them anew, with the fields in another order. */
const isSame = isDeepStrictEqual

/** A list without our own part of it. What a template made instead of a list stays, so that it is refused. */
const without = <T>(list: readonly T[] | undefined, part: unknown): readonly T[] | undefined =>
  Array.isArray(list) ? list.filter((each) => !isSame(each, part)) : list

/**
 * A Pod without what brings the bridge, as far as the templates left it unchanged: what the operator itself put into the
 * Pod needs no permission.
 */
export const withoutBridge = (pod: Pod, parts: BridgeParts | undefined, bridge: BridgeSupply | undefined): Pod => {
  if (parts === undefined || bridge === undefined) return pod
  const { initContainers, volumes, shareProcessNamespace, imagePullSecrets, ...spec } = pod.spec
  const others = without(initContainers, parts.initContainer)
  const secrets = bridge.pullSecrets.reduce((left, name) => without(left, { name }), imagePullSecrets)
  return {
    ...pod,
    spec: {
      ...spec,
      ...(others === undefined || others.length === 0 ? {} : { initContainers: others }),
      ...(volumes === undefined ? {} : { volumes: without(volumes, parts.volume) ?? [] }),
      ...(shareProcessNamespace === undefined || bridge.shareProcesses ? {} : { shareProcessNamespace }),
      ...(secrets === undefined ? {} : { imagePullSecrets: secrets }),
      containers: spec.containers.map(({ volumeMounts, ...container }) => ({
        ...container,
        ...(volumeMounts === undefined ? {} : { volumeMounts: without(volumeMounts, parts.mount) ?? [] }),
      })),
    },
  }
}

/** The Pod of a stdio server with what brings the bridge into it. */
export const withBridge = (pod: Pod, delivery: BridgeDelivery | undefined, bridge: BridgeSupply | undefined): Pod => {
  const parts = bridgeParts(delivery)
  if (parts === undefined || bridge === undefined) return pod
  const { imagePullSecrets = [], volumes = [], containers, terminationGracePeriodSeconds = 0, ...spec } = pod.spec
  const more = bridge.pullSecrets.filter((name) => imagePullSecrets.every((own) => own.name !== name))
  const secrets = [...imagePullSecrets, ...more.map((name) => ({ name }))]
  return {
    ...pod,
    spec: {
      ...spec,
      // the bridge ends its children in two steps of five seconds
      terminationGracePeriodSeconds: terminationGracePeriodSeconds + bridgeGraceSeconds,
      ...(bridge.shareProcesses ? { shareProcessNamespace: true } : {}),
      ...(secrets.length === 0 ? {} : { imagePullSecrets: secrets }),
      ...(parts.initContainer === undefined ? {} : { initContainers: [parts.initContainer] }),
      containers: containers.map((each) => ({ ...each, volumeMounts: [...(each.volumeMounts ?? []), parts.mount] })),
      volumes: [...volumes, parts.volume],
    },
  }
}
