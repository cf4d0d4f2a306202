import type { MCPInstance } from "../api/kinds/mcp-instance.ts"

/** Annotations by which GitOps tools mark the objects that they apply: Argo CD, Helm. */
const annotations: readonly string[] = ["argocd.argoproj.io/tracking-id", "meta.helm.sh/release-name"]
/** Labels of the same purpose: Argo CD, and Flux for a Kustomization and a HelmRelease. */
const toolLabels: readonly string[] = [
  "argocd.argoproj.io/instance",
  "kustomize.toolkit.fluxcd.io/name",
  "helm.toolkit.fluxcd.io/name",
]

/**
 * True if the operator must not delete the instance: `reclaimPolicy` is Retain, or the instance was applied by a tool
 * that would create it again after each deletion. False for an instance with a `targetUID`, as gateways create them:
 * the next request creates a new one, with the current credentials.
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
 * The restartTime that an instance was created with, e.g. by a manifest; undefined if it had none. The operator saves
 * it in the status at its first reconcile, because later edits of the spec overwrite the field.
 */
export const initialRestartTime = ({ metadata, spec, status }: Facts): string | undefined =>
  status?.initialRestartTime ?? (metadata.generation === 1 ? spec.restartTime : undefined)

/**
 * True if the instance must be drained and deleted because a restart was requested after its creation: the restartTime
 * that it was created with does not count. False for a retained instance, where a new restartTime replaces only the
 * Pod, like any other change of the spec.
 */
export const asksForRestart = (instance: Facts): boolean =>
  !isRetained(instance) &&
  instance.spec.restartTime !== undefined &&
  instance.spec.restartTime !== initialRestartTime(instance)
