/** What is compared: the ways in which the bridge gets into a Pod, and a server that needs no bridge. */
import type { MCPInstanceSpec } from "../../src/api/kinds/mcp-instance.ts"
import { images } from "../../test/kubernetes/support/images.ts"

/** One of the things that are compared. */
export type Delivery = {
  /** What an instance's `status.bridge` must say; `none` = the server speaks HTTP itself. */
  readonly name: "ConfigMap" | "ImageVolume" | "Copy" | "none"
  /** Name of its target. */
  readonly target: string
  /** Path of the server in its image. */
  readonly script: string
  /** The fields of its instances that depend on it. */
  readonly spec: Pick<MCPInstanceSpec, "image" | "port" | "command" | "stdio">
  /** Settings of the operator that leads to this delivery. */
  readonly set: Readonly<Record<string, string>>
}

/** Where the server of an image lies in it. */
const scriptOf = ({ server }: { readonly server: string }): string => `/app/${server}`

/** Path of Node in the server's image. */
const node = "/usr/local/bin/node"

const stdio = (name: Delivery["name"], more: Pick<Delivery, "set">, withNode = false): Delivery => ({
  name,
  target: name.toLowerCase(),
  script: scriptOf(images.stdio),
  spec: {
    image: images.stdio.name,
    port: 8080,
    command: [node, scriptOf(images.stdio)],
    stdio: withNode ? { node } : {},
  },
  ...more,
})

const image = { "kubernetes.bridge.image": images.gateway.name }

/**
 * All that are compared. The stdio server is the same for all deliveries: that its image has a Node is used by the
 * ConfigMap only.
 */
export const deliveries: readonly Delivery[] = [
  {
    name: "none",
    target: "notes",
    script: scriptOf(images.notes),
    spec: { image: images.notes.name, port: 8080 },
    set: image,
  },
  stdio("ConfigMap", { set: image }, true),
  stdio("ImageVolume", { set: { ...image, "kubernetes.bridge.delivery": "image_volume" } }),
  stdio("Copy", { set: { ...image, "kubernetes.bridge.delivery": "copy" } }),
]

/** The order of a round, counted from 0: every other one begins at the end. */
export const orderOf = (round: number): readonly Delivery[] => (round % 2 === 0 ? deliveries : deliveries.toReversed())

/** The fields that all instances have: a hundred of them must fit on one small node, whose start takes its time. */
const shared = {
  resources: { requests: { cpu: "5m", memory: "32Mi" }, limits: { cpu: "1", memory: "256Mi" } },
  startTimeout: "10m",
} satisfies Partial<MCPInstanceSpec>

/** The fields of a delivery's instances, without those that name the target and the user. */
export const containerOf = ({ spec }: Delivery) => ({ ...spec, ...shared })

/** The target of a delivery, for `kubectl create -f -`. */
export const targetOf = (delivery: Delivery) => ({
  apiVersion: "mcp.reflow.io/v1alpha1",
  kind: "MCPTarget",
  metadata: { name: delivery.target },
  spec: { transportType: "kubernetes", isolationBoundary: "per_user", ...containerOf(delivery) },
})
