/** Reasons of a waiting container that do not end by themselves, each with what a person needs to know. */
import type { MCPInstanceSpec } from "../api/kinds/mcp-instance.ts"
import type { ReadyReason } from "./reasons.ts"

/** The container that cannot be made or run. */
export type FaultyContainer = {
  readonly spec: MCPInstanceSpec
  /** Its image. */
  readonly image: string
}

/** Where the image of a container is chosen. */
export const imageField = ({ package: named }: MCPInstanceSpec): string =>
  named === undefined ? "the target's image" : `kubernetes.packages.${named.registryType}.image`

type Explain = (facts: FaultyContainer, detail: string) => string

/** Reasons of a waiting container that do not end by themselves, each with its message. */
export const atOnce = {
  InvalidImageName: ({ spec, image }) => `'${image}' is no image name: correct ${imageField(spec)}.`,
  ErrImageNeverPull: ({ image }, detail) =>
    detail || `The image ${image} is not on the node and imagePullPolicy is Never: load it there or allow pulling.`,
  CreateContainerConfigError: (_, detail) => {
    const remedy = /^secret .*not found$/.test(detail) ? "Create that Secret, or correct secretName" : "Correct that"
    return `The container cannot be set up: ${detail || "unknown cause"}. ${remedy}; the server then starts by itself.`
  },
  ImageUserNotAllowed: (_, detail) =>
    `The image wants a user that is not allowed (${detail}): set security.runAsUser to a numeric id other than 0.`,
  RunContainerError: ({ spec }, detail) => {
    const what = spec.package === undefined ? "the target's command and args" : imageField(spec)
    return `The container could not be run: ${detail || "unknown cause"}. Check ${what}.`
  },
  CreateContainerError: (_, detail) =>
    `The container could not be made: ${detail || "unknown cause"}. Check the Pod's Events and its node.`,
  ImageInspectError: ({ image }, detail) =>
    `The image ${image} cannot be read on the node: ${detail || "unknown cause"}. Remove it there, or use another tag.`,
} satisfies Partial<Record<ReadyReason, Explain>>

export const isAtOnce = (reason: string): reason is keyof typeof atOnce => Object.hasOwn(atOnce, reason)

/** Matches the kubelet's message about a user that runAsNonRoot forbids. */
export const userMessage = /runAsNonRoot|non-numeric user|run as root/
