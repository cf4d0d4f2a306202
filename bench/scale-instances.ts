/** The instances of a scale run: creates them, and compares their objects with an earlier state. */
import type { Kind, KubeObject } from "../src/api/kinds/kind.ts"
import { serviceKind } from "../src/api/kinds/kubernetes.ts"
import { type MCPInstance, mcpInstanceKind } from "../src/api/kinds/mcp-instance.ts"
import { type MCPTarget, mcpTargetKind } from "../src/api/kinds/mcp-target.ts"
import { podKind } from "../src/api/kinds/pod.ts"
import { instanceName } from "../src/api/names.ts"
import { listAll, type ScaleCluster } from "./scale-cluster.ts"

const targetCount = 20
/** Maximum number of concurrent create calls. */
const creators = 16

const makeTargets = ({ admin, namespace }: ScaleCluster): Promise<readonly MCPTarget[]> =>
  Promise.all(
    Array.from({ length: targetCount }, (_, index) => {
      const { apiVersion, kind } = mcpTargetKind
      const metadata = { name: `server-${index}`, namespace }
      const spec = { transportType: "kubernetes", image: "example.com/server:1", port: 8080 } as MCPTarget["spec"]
      return admin.create(mcpTargetKind, { apiVersion, kind, metadata, spec })
    }),
  )

const toInstance = (target: MCPTarget, user: number): MCPInstance => {
  const { name: targetName, uid = "", namespace = "", generation = 1 } = target.metadata
  const subjectKey = `user:${user}`
  const { apiVersion, kind } = mcpInstanceKind
  const name = instanceName(targetName, uid, subjectKey)
  const { image, port } = target.spec
  const spec = { image, port, targetName, targetUID: uid, targetGeneration: generation, subjectKey }
  return { apiVersion, kind, metadata: { name, namespace }, spec } as MCPInstance
}

/** Creates instances of 20 targets, as fast as the API server accepts them. */
export const makeInstances = async (cluster: ScaleCluster, count: number): Promise<void> => {
  const { admin, signal } = cluster
  const targets = await makeTargets(cluster)
  const users = Array.from({ length: count }, (_, user) => user).values()
  const create = async (): Promise<void> => {
    for (const user of users) {
      const target = targets[user % targets.length]
      if (target !== undefined) await admin.create(mcpInstanceKind, toInstance(target, user), { signal })
    }
  }
  await Promise.all(Array.from({ length: creators }, create))
}

/** Throws if not all instances are Ready by the API server's own word. */
export const ensureAllReady = async ({ admin, namespace }: ScaleCluster, count: number): Promise<void> => {
  const instances = await listAll(admin, mcpInstanceKind, namespace)
  const ready = instances.filter(({ status }) => status?.phase === "Ready" && status.url !== undefined).length
  if (instances.length !== count || ready !== count) throw new Error(`${ready} of ${instances.length} are Ready`)
}

/** The resourceVersion of every object that the operator writes. */
export type Versions = ReadonlyMap<string, string>

/** Reads the versions of all objects. */
export const readVersions = async ({ admin, namespace }: ScaleCluster): Promise<Versions> => {
  const kinds: readonly Kind<KubeObject>[] = [mcpInstanceKind, mcpTargetKind, podKind, serviceKind]
  const found = new Map<string, string>()
  for (const kind of kinds)
    for (const { metadata } of await listAll(admin, kind, namespace))
      found.set(`${kind.kind} ${metadata.name} ${metadata.uid}`, metadata.resourceVersion ?? "")
  return found
}

/** Number of objects that were created, changed or deleted in between. */
export const differences = (before: Versions, after: Versions): number =>
  [...new Set([...before.keys(), ...after.keys()])].filter((key) => before.get(key) !== after.get(key)).length
