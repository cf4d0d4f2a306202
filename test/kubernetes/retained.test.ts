/** An instance that a manifest declares, applied again and again as GitOps does: the operator keeps it, and fights nobody. */
import { setTimeout as sleep } from "node:timers/promises"
import { beforeAll, expect, test } from "vitest"
import { type MCPInstance, mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import type { Reflection } from "../../src/ports/cluster.ts"
import { cluster, kubectl, openCluster, waitFor } from "./support/cluster.ts"
import { ensureImages } from "./support/images.ts"
import { type Installation, makeInstallation, startRole } from "./support/role.ts"

let place: Installation
let instances: Reflection<MCPInstance>

const manifest = (name: string, spec: object, metadata: object = {}) => ({
  apiVersion: "mcp.reflow.io/v1alpha1",
  kind: "MCPInstance",
  metadata: { name, namespace: place.instances, ...metadata },
  spec: {
    image: "ghcr.io/reflow/example-dice:1.0.0",
    port: 8080,
    targetName: "dice",
    subjectKey: `user:${name}`,
    resources: { requests: { cpu: "10m", memory: "16Mi" }, limits: { cpu: "500m", memory: "128Mi" } },
    ...spec,
  },
})
/** As a tool that owns the fields of its manifest applies them. */
const apply = (object: object) =>
  kubectl(["apply", "--server-side", "--field-manager=argocd-controller", "-f", "-"], { input: JSON.stringify(object) })

const ready = (name: string, starts: number, ms = 60_000) =>
  waitFor(
    instances,
    (all) => {
      const found = all.get(name)
      return found?.status?.phase === "Ready" && found.status.starts === starts ? found : undefined
    },
    ms,
    `${name} is Ready with start ${starts}`,
  )

beforeAll(async () => {
  await ensureImages(["dice"], cluster)
  place = await makeInstallation("retained")
  instances = openCluster("test").watch(mcpInstanceKind, { namespace: place.instances })
  await instances.synced
  const kubeconfig = await place.kubeconfig("operator")
  const set = { "kubernetes.idle_ttl": "10s", "kubernetes.gc_interval": "5s" }
  const operator = startRole("operator", { kubeconfig, namespace: place.instances, set, until: "file" })
  await operator.line("leading", 60_000)
}, 300_000)

test("it outlives its idle TTL, unlike one that nothing retains; a restart and its maximum lifetime replace its Pod alone", async () => {
  const declared = manifest("declared", { reclaimPolicy: "Retain" })
  const tracked = manifest("tracked", {}, { annotations: { "argocd.argoproj.io/tracking-id": "app:mcp" } })
  const mortal = manifest("mortal", {})
  await Promise.all([declared, tracked, mortal].map(apply))
  const { metadata } = await ready("declared", 1)
  const { uid } = (await ready("tracked", 1)).metadata
  await waitFor(instances, (all) => all.get("mortal") === undefined || undefined, 90_000, "the idle one goes")
  // what the tool does every few minutes
  for (let round = 0; round < 3; round++) {
    await Promise.all([declared, tracked].map(apply))
    await sleep(2_000)
  }
  expect(instances.get("declared")).toMatchObject({
    metadata: { uid: metadata.uid, generation: metadata.generation },
    status: { phase: "Ready", starts: 1 },
  })
  expect(instances.get("tracked")?.metadata.uid).toBe(uid)

  const spec = { restartTime: new Date().toISOString() }
  const patch = ["patch", "mcpi", "declared", "-n", place.instances, "--type=merge", "-p", JSON.stringify({ spec })]
  await kubectl(patch)
  await ready("declared", 2)
  await apply(declared)
  await sleep(3_000)
  const after = instances.get("declared")
  expect(after?.spec.restartTime, "the tool leaves alone what its manifest does not name").toBe(spec.restartTime)
  expect(after).toMatchObject({ metadata: { uid: metadata.uid }, status: { phase: "Ready", starts: 2 } })

  await apply(manifest("declared", { reclaimPolicy: "Retain", maxLifetime: "10s" }))
  await ready("declared", 3)
  expect(instances.get("declared")?.metadata.uid).toBe(metadata.uid)
}, 300_000)
