import type { MCPInstance } from "./mcp-instance.ts"

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
