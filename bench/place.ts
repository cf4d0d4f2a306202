/** Namespaces on a real cluster in which the roles run with the rights of rbac/ only. */
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
import { createTelemetry } from "../src/telemetry/telemetry.ts"
import { type FoundCluster, findCluster } from "../test/kubernetes/support/find-cluster.ts"

const actors = ["operator", "gateway"] as const

/** The namespaces and clients of one run. */
export type Place = {
  /** Namespace of the instances. */
  readonly namespace: string
  /** Paths of kubeconfigs with the ServiceAccounts of the roles. */
  readonly kubeconfigs: Readonly<Record<Actor, string>>
  /** A client with administrator rights. */
  readonly admin: KubeCluster
  /** Path of the API server's audit log. */
  readonly auditLog: string
  /** Name of a role's user. */
  user(role: Actor): string
  kubectl(args: readonly string[], input?: string): Promise<string>
  /** Removes the namespaces, and waits until they are gone. */
  close(): Promise<void>
}

/** A cluster with an audit log, and the folder of the programs that built it. */
export type BenchCluster = FoundCluster & { readonly tools: string; readonly auditLog: string }

/** The cluster for measurements. Throws if there is none with an audit log. */
export const requireCluster = async (): Promise<BenchCluster> => {
  const { tools, auditLog, ...found } = (await findCluster()) ?? {}
  if (!("kubeconfig" in found) || tools === undefined || auditLog === undefined)
    throw new Error(
      "no cluster with an audit log: see test/kubernetes/support/find-cluster.ts for the cluster that is needed",
    )
  return { ...found, tools, auditLog }
}

/** Runs a command for at most 16 minutes, since a namespace with thousands of Pods takes that long to go. */
export const run = async (command: string, args: readonly string[], input?: string): Promise<string> => {
  const running = promisify(execFile)(command, [...args], { timeout: 960_000, maxBuffer: 256 * 2 ** 20 })
  running.child.stdin?.end(input ?? "")
  return (await running).stdout
}

/** The API server's version, e.g. `v1.35.4`. */
export const versionOf = async ({ kubectl, kubeconfig }: FoundCluster): Promise<string> => {
  const { serverVersion } = JSON.parse(await run(kubectl, ["--kubeconfig", kubeconfig, "version", "-o", "json"]))
  return serverVersion.gitVersion
}

/** Writes a kubeconfig that acts as a role. */
const writeKubeconfig = async (
  kubectl: Place["kubectl"],
  own: string,
  folder: string,
  role: Actor,
): Promise<string> => {
  const name = actorName(role)
  const token = (await kubectl(["create", "token", name, "-n", own, "--duration=1h"])).trim()
  const admin = JSON.parse(await kubectl(["config", "view", "--minify", "--raw", "--flatten", "-o", "json"])) as object
  const users = [{ name, user: { token } }]
  const contexts = [{ name: "bench", context: { cluster: "bench", user: name, namespace: own } }]
  const clusters = (admin as { clusters: readonly object[] }).clusters.map((each) => ({ ...each, name: "bench" }))
  const path = join(folder, role)
  await writeFile(path, JSON.stringify({ ...admin, clusters, users, contexts, "current-context": "bench" }), {
    mode: 0o600,
  })
  return path
}

/** Creates the CRDs, both namespaces, and the rights of both roles in them. */
const install = async (kubectl: Place["kubectl"], own: string, instances: string): Promise<void> => {
  await kubectl(["apply", "--server-side", "--force-conflicts", "-f", resolve(import.meta.dirname, "../crd")])
  const namespaces = [own, instances].map((name) => ({ apiVersion: "v1", kind: "Namespace", metadata: { name } }))
  const items = [...namespaces, ...actors.flatMap((role) => toRBAC(role, { own, instances }))]
  await kubectl(["create", "-f", "-"], JSON.stringify({ apiVersion: "v1", kind: "List", items }))
}

const openAdmin = (kubeconfig: string): KubeCluster => {
  const write = (line: string) => void process.stderr.write(line)
  const telemetry = createTelemetry({ level: "warn", format: "text", write, processMetrics: false })
  return createKubeCluster({ kubeconfig, fieldManager: "bench", clock: systemClock, telemetry })
}

/** Creates namespaces whose names begin with `prefix`, and the rights of both roles in them. Close it. */
export const preparePlace = async (found: BenchCluster, prefix: string): Promise<Place> => {
  const kubectl: Place["kubectl"] = (args, input) =>
    run(found.kubectl, ["--kubeconfig", found.kubeconfig, ...args], input)
  const namespace = `${prefix}-${randomBytes(3).toString("hex")}`
  const own = `${namespace}-system`
  const folder = await mkdtemp(join(tmpdir(), "reflow-bench-"))
  const admin = openAdmin(found.kubeconfig)
  const close = async (): Promise<void> => {
    await admin.close()
    await rm(folder, { recursive: true, force: true })
    await kubectl(["delete", "namespace", own, namespace, "--ignore-not-found", "--timeout=900s"])
  }
  try {
    await install(kubectl, own, namespace)
    const operator = await writeKubeconfig(kubectl, own, folder, "operator")
    const gateway = await writeKubeconfig(kubectl, own, folder, "gateway")
    return {
      namespace,
      kubeconfigs: { operator, gateway },
      admin,
      auditLog: found.auditLog,
      user: (role) => `system:serviceaccount:${own}:${actorName(role)}`,
      kubectl,
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}
