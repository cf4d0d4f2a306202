/** Two namespaces of a real cluster with the rights of both roles, and clients for them. */
import { execFile } from "node:child_process"
import { randomBytes } from "node:crypto"
import { resolve } from "node:path"
import { promisify } from "node:util"
import { createKubeCluster, type KubeCluster } from "../../src/adapters/kube/cluster.ts"
import { toRBAC } from "../../src/adapters/kube/rbac.ts"
import { systemClock } from "../../src/adapters/system/clock.ts"
import { createTelemetry } from "../../src/telemetry/telemetry.ts"
import { findCluster } from "../../test/kubernetes/support/find-cluster.ts"
import { ensureImages, type ImageName } from "../../test/kubernetes/support/images.ts"

const root = resolve(import.meta.dirname, "../..")

/** The namespaces, and clients with administrator rights. */
export type Place = {
  /** Namespace of operator and gateway. */
  readonly own: string
  /** Namespace of the instances. */
  readonly instances: string
  readonly admin: KubeCluster
  /** Path of the API server's audit log. */
  readonly auditLog: string
  /** Version of the API server, e.g. `v1.35.4`. */
  readonly version: string
  /** Runs kubectl with this object as its input. */
  kubectl(args: readonly string[], input?: object): Promise<string>
  /** Deletes the namespaces and waits until they are gone. */
  close(): Promise<void>
}

/** A List for `kubectl create -f -`. */
export const listOf = (items: readonly object[]) => ({ apiVersion: "v1", kind: "List", items })

const namespaceOf = (name: string) => ({
  apiVersion: "v1",
  kind: "Namespace",
  metadata: { name, labels: { "pod-security.kubernetes.io/enforce": "restricted" } },
})

const run = async (command: string, args: readonly string[], input: string): Promise<string> => {
  const running = promisify(execFile)(command, [...args], { timeout: 180_000, maxBuffer: 64 * 2 ** 20 })
  running.child.stdin?.end(input)
  return (await running).stdout
}

/** Signals that end a run early. */
const endings = ["SIGINT", "SIGTERM"] as const

/** Most starts of a run. */
const mostRuns = 1_000

/** The number of starts that a flag names; throws if it is none from 1 to 1000. */
export const toRuns = (text: string): number => {
  const runs = Number(text)
  if (Number.isInteger(runs) && runs >= 1 && runs <= mostRuns) return runs
  throw new Error(`--runs: '${text}' is no number from 1 to ${mostRuns}`)
}

/** Makes the namespaces and the rights; rejects if there is no cluster with an audit log. `shorts` = images to load. */
export const makePlace = async (prefix: string, shorts: readonly ImageName[] = []): Promise<Place> => {
  const found = await findCluster()
  if (found?.auditLog === undefined)
    throw new Error(
      "no cluster with an audit log: see test/kubernetes/support/find-cluster.ts for the one that is needed",
    )
  const { auditLog, kubeconfig } = found
  await ensureImages(shorts, found)
  const kubectl: Place["kubectl"] = (args, input) =>
    run(found.kubectl, ["--kubeconfig", kubeconfig, ...args], input === undefined ? "" : JSON.stringify(input))
  const instances = `${prefix}-${randomBytes(3).toString("hex")}`
  const own = `${instances}-system`
  const write = (line: string): void => void process.stderr.write(line)
  const telemetry = createTelemetry({ level: "warn", format: "text", write, processMetrics: false })
  const admin = createKubeCluster({ kubeconfig, fieldManager: prefix, clock: systemClock, telemetry })
  const close = async (): Promise<void> => {
    for (const signal of endings) process.off(signal, interrupt)
    await admin.close()
    await kubectl(["delete", "namespace", own, instances, "--ignore-not-found", "--timeout=120s"])
  }
  /** An interrupted run leaves nothing on the cluster. */
  const interrupt = (): void => {
    close().finally(() => process.exit(1))
  }
  for (const signal of endings) process.once(signal, interrupt)
  try {
    await kubectl(["apply", "--server-side", "--force-conflicts", "-f", resolve(root, "crd")])
    const rights = (["gateway", "operator"] as const).flatMap((actor) => toRBAC(actor, { own, instances }))
    await kubectl(["create", "-f", "-"], listOf([namespaceOf(own), namespaceOf(instances), ...rights]))
    const { gitVersion: version } = JSON.parse(await kubectl(["version", "-o", "json"])).serverVersion
    return { own, instances, admin, auditLog, version, kubectl, close }
  } catch (error) {
    await close()
    throw error
  }
}
