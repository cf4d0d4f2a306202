/** A real API server with simulated nodes, whose Pods become Ready without running a process. */
import { execFile } from "node:child_process"
import { randomBytes } from "node:crypto"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { promisify } from "node:util"
import type { Actor } from "../src/adapters/kube/access.ts"
import { createKubeCluster, type KubeCluster } from "../src/adapters/kube/cluster.ts"
import { actorName, toRBAC } from "../src/adapters/kube/rbac.ts"
import { systemClock } from "../src/adapters/system/clock.ts"
import type { Kind, KubeObject } from "../src/api/kinds/kind.ts"
import { createTelemetry } from "../src/telemetry/telemetry.ts"
import { findCluster } from "../test/kubernetes/support/find-cluster.ts"

/** Number of Pods for each simulated node. */
const podsPerNode = 1_000

const actors = ["operator", "gateway"] as const

/** The namespaces and clients of one run. */
export type ScaleCluster = {
  /** Namespace of the instances. */
  readonly namespace: string
  /** Paths of kubeconfigs with the ServiceAccounts of the roles, which have only the rights of rbac/. */
  readonly kubeconfigs: Readonly<Record<Actor, string>>
  /** A client with administrator rights. */
  readonly admin: KubeCluster
  /** Path of the API server's audit log. */
  readonly auditLog: string
  /** The API server's version, e.g. `v1.35.4`. */
  readonly version: string
  /** Name of a role's user. */
  user(role: Actor): string
  /** Aborted when the run is to end early. */
  readonly signal: AbortSignal
  /** Uncordons the real nodes and cordons the simulated ones. */
  release(): Promise<void>
  /** Removes everything, the simulated nodes last. */
  close(): Promise<void>
}

const run = async (command: string, args: readonly string[], input?: string): Promise<string> => {
  const running = promisify(execFile)(command, [...args], { timeout: 930_000, maxBuffer: 256 * 2 ** 20 })
  running.child.stdin?.end(input ?? "")
  return (await running).stdout
}

/** All objects of a kind in a namespace. */
export const listAll = async <T extends KubeObject>(
  cluster: KubeCluster,
  kind: Kind<T>,
  namespace: string,
): Promise<readonly T[]> => {
  const items: T[] = []
  let next: string | undefined
  do {
    const page = await cluster.list(kind, { namespace, limit: 500, ...(next === undefined ? {} : { continue: next }) })
    items.push(...page.items)
    next = page.continue
  } while (next !== undefined)
  return items
}

type Kubectl = (args: readonly string[], input?: string) => Promise<string>

/** Writes a kubeconfig that acts as a role. */
const writeKubeconfig = async (kubectl: Kubectl, own: string, folder: string, role: Actor): Promise<string> => {
  const name = actorName(role)
  const token = (await kubectl(["create", "token", name, "-n", own, "--duration=1h"])).trim()
  const admin = JSON.parse(await kubectl(["config", "view", "--minify", "--raw", "--flatten", "-o", "json"])) as object
  const users = [{ name, user: { token } }]
  const contexts = [{ name: "scale", context: { cluster: "scale", user: name, namespace: own } }]
  const clusters = (admin as { clusters: readonly object[] }).clusters.map((each) => ({ ...each, name: "scale" }))
  const path = join(folder, role)
  await writeFile(path, JSON.stringify({ ...admin, clusters, users, contexts, "current-context": "scale" }), {
    mode: 0o600,
  })
  return path
}

/** Creates the CRDs, both namespaces, and the rights of both roles in them. */
const install = async (kubectl: Kubectl, own: string, instances: string): Promise<void> => {
  await kubectl(["apply", "--server-side", "--force-conflicts", "-f", resolve(import.meta.dirname, "../crd")])
  const namespaces = [own, instances].map((name) => ({ apiVersion: "v1", kind: "Namespace", metadata: { name } }))
  const items = [...namespaces, ...actors.flatMap((role) => toRBAC(role, { own, instances }))]
  await kubectl(["create", "-f", "-"], JSON.stringify({ apiVersion: "v1", kind: "List", items }))
}

/** Creates the namespaces and enough simulated nodes for the instances. Throws if the cluster cannot simulate nodes. */
export const prepareScale = async (instances: number, signal: AbortSignal): Promise<ScaleCluster> => {
  const found = await findCluster()
  if (found?.tools === undefined || found.auditLog === undefined)
    throw new Error(
      "no cluster that can simulate nodes: see test/kubernetes/support/find-cluster.ts for the cluster that is needed",
    )
  const crowd = join(found.tools, "crowd")
  const kubectl: Kubectl = (args, input) => run(found.kubectl, ["--kubeconfig", found.kubeconfig, ...args], input)
  const namespace = `scale-${randomBytes(3).toString("hex")}`
  const own = `${namespace}-system`
  const folder = await mkdtemp(join(tmpdir(), "reflow-scale-"))
  const telemetry = createTelemetry({
    level: "warn",
    format: "text",
    write: (line) => void process.stderr.write(line),
    processMetrics: false,
  })
  const admin = createKubeCluster({
    kubeconfig: found.kubeconfig,
    fieldManager: "scale",
    clock: systemClock,
    telemetry,
  })
  const release = async (): Promise<void> => {
    const simulated = await kubectl(["get", "nodes", "-l", "type=kwok", "-o", "name"])
    if (simulated !== "") await kubectl(["cordon", "-l", "type=kwok"])
    await kubectl(["uncordon", "-l", "type!=kwok"])
  }
  const close = async (): Promise<void> => {
    await admin.close()
    try {
      await release()
      // before the simulated nodes are removed: they must confirm that their Pods have ended
      await kubectl(["delete", "namespace", own, namespace, "--ignore-not-found", "--timeout=900s"])
    } finally {
      await run(crowd, ["down"])
      await rm(folder, { recursive: true, force: true })
    }
  }
  try {
    await install(kubectl, own, namespace)
    const [operator, gateway] = await Promise.all([
      writeKubeconfig(kubectl, own, folder, "operator"),
      writeKubeconfig(kubectl, own, folder, "gateway"),
    ])
    const { serverVersion } = JSON.parse(await kubectl(["version", "-o", "json"]))
    await run(crowd, ["up", String(Math.ceil(instances / podsPerNode) + 1)])
    return {
      namespace,
      kubeconfigs: { operator, gateway },
      admin,
      signal,
      auditLog: found.auditLog,
      version: serverVersion.gitVersion,
      user: (role) => `system:serviceaccount:${own}:${actorName(role)}`,
      release,
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}
