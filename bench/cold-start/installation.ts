/** An installation of the program in two namespaces of its own: what manager/ and rbac/ install, and a caller of bare Pods. */
import { createHash, randomBytes } from "node:crypto"
import { readFile } from "node:fs/promises"
import { resolve } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { parseAllDocuments, stringify } from "yaml"
import { toNetworkPolicies } from "../../src/adapters/kube/network-policies.ts"
import { images } from "../../test/kubernetes/support/images.ts"
import { listOf, makePlace, type Place } from "./place.ts"

const root = resolve(import.meta.dirname, "../..")

/** Name of the target whose instances are started. */
export const targetName = "notes"

/** Port on which its server listens. */
export const serverPort = 8080

/** The installation, and clients for it. */
export type Installation = Place & {
  /** Address of the gateway's Pod. */
  readonly gateway: string
  /** Address of the Pod that calls bare Pods; see caller.cjs. */
  readonly caller: string
  /** Token of the user with this number; each user has an instance of their own. */
  token(user: number): string
  /** Applies the NetworkPolicies of manager/, or removes them; resolves when the network has had time to follow. */
  isolate(on: boolean): Promise<void>
}

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

/** How long the program that enforces NetworkPolicies may take to follow a change, in milliseconds. */
const enforcedMs = 2_000

/** Installs the program in new namespaces, for `users` users; rejects if there is no cluster with an audit log. */
export const install = async (users: number): Promise<Installation> => {
  const place = await makePlace("cold", ["gateway", "notes"])
  const { own, instances, kubectl } = place
  const policies = listOf(toNetworkPolicies({ own, instances }).map(({ policy }) => policy))
  try {
    const program = await programOf(own, configOf(instances, users))
    await kubectl(["create", "-f", "-"], listOf([...program, target(instances)]))
    for (const name of ["reflow-operator", "reflow-gateway"])
      await kubectl(["rollout", "status", `deployment/${name}`, "-n", own, "--timeout=120s"])
    // after the roll-out, whose Deployment must not count it
    await kubectl(["create", "-f", "-"], await callerPod(own))
    await kubectl(["wait", "--for=condition=Ready", "pod/caller", "-n", own, "--timeout=60s"])
    const addressOf = async (...which: readonly string[]): Promise<string> =>
      (await kubectl(["get", "pod", "-n", own, ...which, "-o", "jsonpath={..status.podIP}"])).trim()
    return {
      ...place,
      gateway: await addressOf("-l", "app.kubernetes.io/name=reflow-gateway,pod-template-hash"),
      caller: await addressOf("--field-selector=metadata.name=caller"),
      token: tokenOf,
      isolate: async (on) => {
        if (on) await kubectl(["apply", "-f", "-"], policies)
        else await kubectl(["delete", "--ignore-not-found", "-f", "-"], policies)
        await sleep(enforcedMs)
      },
    }
  } catch (error) {
    await place.close()
    throw error
  }
}
