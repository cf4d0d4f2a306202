import { expect, test } from "vitest"
import { isRetained } from "../../../src/signals/restart.ts"
import { anInstance, type InstanceParts } from "../../support/build/instance.ts"

test.each<[string, InstanceParts, boolean]>([
  ["by a manifest that says nothing", {}, false],
  ["with the word Delete", { spec: { reclaimPolicy: "Delete" } }, false],
  ["with the word Retain", { spec: { reclaimPolicy: "Retain" } }, true],
  ["with the word Retain, for a target's UID", { spec: { reclaimPolicy: "Retain", targetUID: "u" } }, false],
  ["by Argo CD", { metadata: { annotations: { "argocd.argoproj.io/tracking-id": "app:mcp" } } }, true],
  ["by Argo CD that tracks by label", { metadata: { labels: { "argocd.argoproj.io/instance": "app" } } }, true],
  ["by a Kustomization of Flux", { metadata: { labels: { "kustomize.toolkit.fluxcd.io/name": "apps" } } }, true],
  ["by a HelmRelease of Flux", { metadata: { labels: { "helm.toolkit.fluxcd.io/name": "mcp" } } }, true],
  ["by Helm", { metadata: { annotations: { "meta.helm.sh/release-name": "mcp" } } }, true],
  [
    "by Helm, with the word Delete",
    { metadata: { annotations: { "meta.helm.sh/release-name": "mcp" } }, spec: { reclaimPolicy: "Delete" } },
    false,
  ],
  ["by kubectl", { metadata: { annotations: { "kubectl.kubernetes.io/last-applied-configuration": "{}" } } }, false],
])("an instance that was applied %s is retained: %s", (_, parts, expected) => {
  expect(isRetained(anInstance(parts))).toBe(expected)
})
