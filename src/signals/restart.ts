import type { MCPInstance } from "../api/kinds/mcp-instance.ts"

/** By what tools that put back what is missing mark the objects that they apply: Argo CD, Helm. */
const annotations: readonly string[] = ["argocd.argoproj.io/tracking-id", "meta.helm.sh/release-name"]
/** The same as labels: Argo CD, and Flux for a Kustomization and a HelmRelease. */
const toolLabels: readonly string[] = [
  "argocd.argoproj.io/instance",
  "kustomize.toolkit.fluxcd.io/name",
  "helm.toolkit.fluxcd.io/name",
]

/**
 * True if the operator must not delete the instance: its author says so, or a tool applied it that would only make it again,
 * for ever. Never one that names its target's UID, as gateways' instances do: the next request makes another one, with other
 * credentials if they changed.
 */
export const isRetained = ({ metadata, spec }: Pick<MCPInstance, "metadata" | "spec">): boolean => {
  if (spec.targetUID !== undefined) return false
  if (spec.reclaimPolicy !== undefined) return spec.reclaimPolicy === "Retain"
  return (
    annotations.some((key) => metadata.annotations?.[key] !== undefined) ||
    toolLabels.some((key) => metadata.labels?.[key] !== undefined)
  )
}

type Facts = Pick<MCPInstance, "metadata" | "spec" | "status">

/**
 * The restartTime that an instance was made with, by a manifest; undefined if it was made without. The operator keeps it
 * in the status at its first look, since each later edit of the spec hides what the instance began with.
 */
export const initialRestartTime = ({ metadata, spec, status }: Facts): string | undefined =>
  status?.initialRestartTime ?? (metadata.generation === 1 ? spec.restartTime : undefined)

/**
 * True if a restart was asked for since the instance was made, which ends it: one that was made with a restartTime is not
 * restarted by it. One that is retained never ends: there a new restartTime replaces the Pod, as each change of the spec does.
 */
export const asksForRestart = (instance: Facts): boolean =>
  !isRetained(instance) &&
  instance.spec.restartTime !== undefined &&
  instance.spec.restartTime !== initialRestartTime(instance)
