/** An installation of the program in two namespaces of its own: what manager/ and rbac/ install, and a caller of bare Pods. */
import { execFile } from "node:child_process"
import { createHash, randomBytes } from "node:crypto"
import { readFile } from "node:fs/promises"
import { resolve } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { promisify } from "node:util"
import { parseAllDocuments, stringify } from "yaml"
import { createKubeCluster, type KubeCluster } from "../../src/adapters/kube/cluster.ts"
import { toNetworkPolicies } from "../../src/adapters/kube/network-policies.ts"
import { toRBAC } from "../../src/adapters/kube/rbac.ts"
import { systemClock } from "../../src/adapters/system/clock.ts"
import { createTelemetry } from "../../src/telemetry/telemetry.ts"
import { findCluster } from "../../test/kubernetes/support/find-cluster.ts"
import { ensureImages, images } from "../../test/kubernetes/support/images.ts"

const root = resolve(import.meta.dirname, "../..")

/** Name of the target whose instances are started. */
export const targetName = "notes"

/** Port on which its server listens. */
export const serverPort = 8080

/** The installation, and clients for it. */
export type Installation = {
  /** Namespace of the instances and of the bare Pods. */
  readonly instances: string
  /** A client with administrator rights. */
  readonly admin: KubeCluster
  /** Path of the API server's audit log. */
  readonly auditLog: string
  /** Address of the gateway's Pod. */
  readonly gateway: string
  /** Address of the Pod that calls bare Pods; see caller.cjs. */
  readonly caller: string
  /** Version of the API server, e.g. `v1.35.4`. */
  readonly version: string
  /** Token of the user with this number; each user has an instance of their own. */
  token(user: number): string
  /** Applies the NetworkPolicies of manager/, or removes them; resolves when the network has had time to follow. */
  isolate(on: boolean): Promise<void>
  /** Deletes the namespaces and waits until they are gone. */
  close(): Promise<void>
}

type Kubectl = (args: readonly string[], input?: object) => Promise<string>

const listOf = (items: readonly object[]) => ({ apiVersion: "v1", kind: "List", items })

/** The tokens of the run are not guessable, although the cluster is for tests only. */
const secret = randomBytes(16).toString("hex")
const tokenOf = (user: number): string => `${secret}-${user}`

const configOf = (instances: string, users: number) => ({
  kubernetes: { namespace: instances, max_instances: users },
  gateway: { allowed_hosts: ["localhost"] },
  auth: {
    tokens: Array.from({ length: users }, (_, user) => ({
      name: `user-${user}`,
      subject: `user-${user}`,
      sha256: createHash("sha256").update(tokenOf(user)).digest("hex"),
    })),
  },
})

type Manifest = { readonly kind: string; readonly metadata: object; spec?: { replicas?: number }; data?: object }

/** The objects of manager/ in the namespace `own`, one replica each, with the configuration of this run. */
const programOf = async (own: string, config: object): Promise<readonly object[]> => {
  const files = ["10-config.yaml", "20-operator.yaml", "30-gateway.yaml"]
  const texts = await Promise.all(files.map((name) => readFile(resolve(root, "manager", name), "utf8")))
  return texts
    .flatMap((text) => parseAllDocuments(text).map((each) => each.toJS() as Manifest))
    .filter(({ kind }) => kind !== "PodDisruptionBudget")
    .map((manifest) => ({
      ...manifest,
      metadata: { ...manifest.metadata, namespace: own },
      ...(manifest.kind === "ConfigMap" ? { data: { "reflow.yaml": stringify(config) } } : {}),
      ...(manifest.kind === "Deployment" ? { spec: { ...manifest.spec, replicas: 1 } } : {}),
    }))
}

/** A Pod that the NetworkPolicies take for a gateway, since it has the gateway's labels. */
const callerPod = async (own: string) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "caller", namespace: own, labels: { "app.kubernetes.io/name": "reflow-gateway" } },
  spec: {
    automountServiceAccountToken: false,
    terminationGracePeriodSeconds: 0,
    securityContext: { runAsNonRoot: true, runAsUser: 65532, seccompProfile: { type: "RuntimeDefault" } },
    containers: [
      {
        name: "caller",
        image: images.notes.name,
        command: ["/usr/local/bin/node", "-e", await readFile(resolve(import.meta.dirname, "caller.cjs"), "utf8")],
        ports: [{ name: "http", containerPort: 8080 }],
        securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
      },
    ],
  },
})

const target = (namespace: string) => ({
  apiVersion: "mcp.reflow.io/v1alpha1",
  kind: "MCPTarget",
  metadata: { name: targetName, namespace },
  spec: { transportType: "kubernetes", image: images.notes.name, port: serverPort, isolationBoundary: "per_user" },
})

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

/** How long the program that enforces NetworkPolicies may take to follow a change, in milliseconds. */
const enforcedMs = 2_000

/** Installs the program in new namespaces, for `users` users; rejects if there is no cluster with an audit log. */
export const install = async (users: number): Promise<Installation> => {
  const found = await findCluster()
  if (found?.auditLog === undefined)
    throw new Error(
      "no cluster with an audit log: see test/kubernetes/support/find-cluster.ts for the one that is needed",
    )
  const { auditLog } = found
  await ensureImages(["gateway", "notes"], found)
  const kubectl: Kubectl = (args, input) =>
    run(found.kubectl, ["--kubeconfig", found.kubeconfig, ...args], input === undefined ? "" : JSON.stringify(input))
  const instances = `cold-${randomBytes(3).toString("hex")}`
  const own = `${instances}-system`
  const policies = listOf(toNetworkPolicies({ own, instances }).map(({ policy }) => policy))
  const write = (line: string): void => void process.stderr.write(line)
  const telemetry = createTelemetry({ level: "warn", format: "text", write, processMetrics: false })
  const admin = createKubeCluster({ kubeconfig: found.kubeconfig, fieldManager: "cold", clock: systemClock, telemetry })
  const close = async (): Promise<void> => {
    await admin.close()
    await kubectl(["delete", "namespace", own, instances, "--ignore-not-found", "--timeout=120s"])
  }
  try {
    await kubectl(["apply", "--server-side", "--force-conflicts", "-f", resolve(root, "crd")])
    await kubectl(["create", "-f", "-"], listOf([namespaceOf(own), namespaceOf(instances)]))
    const rights = (["gateway", "operator"] as const).flatMap((actor) => toRBAC(actor, { own, instances }))
    const program = await programOf(own, configOf(instances, users))
    await kubectl(["create", "-f", "-"], listOf([...rights, ...program, target(instances)]))
    for (const name of ["reflow-operator", "reflow-gateway"])
      await kubectl(["rollout", "status", `deployment/${name}`, "-n", own, "--timeout=120s"])
    // after the roll-out, whose Service must not select it
    await kubectl(["create", "-f", "-"], await callerPod(own))
    await kubectl(["wait", "--for=condition=Ready", "pod/caller", "-n", own, "--timeout=60s"])
    const addressOf = async (...which: readonly string[]): Promise<string> =>
      (await kubectl(["get", "pod", "-n", own, ...which, "-o", "jsonpath={..status.podIP}"])).trim()
    return {
      instances,
      admin,
      auditLog,
      gateway: await addressOf("-l", "app.kubernetes.io/name=reflow-gateway,pod-template-hash"),
      caller: await addressOf("--field-selector=metadata.name=caller"),
      version: JSON.parse(await kubectl(["version", "-o", "json"])).serverVersion.gitVersion,
      token: tokenOf,
      isolate: async (on) => {
        if (on) await kubectl(["apply", "-f", "-"], policies)
        else await kubectl(["delete", "--ignore-not-found", "-f", "-"], policies)
        await sleep(enforcedMs)
      },
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}
