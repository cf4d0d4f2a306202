/** A node that is registered and that nobody runs: it reports as long as a test wants it to. */
import { setInterval } from "node:timers"
import { kubectl } from "./cluster.ts"

/** A registered node. */
export type SilentNode = {
  readonly name: string
  /** From now on it reports no more, as one whose machine has lost its power. */
  lose(): void
  /** Removes it, with its Pods. */
  remove(): Promise<void>
}

const apply = (object: object, more: readonly string[] = []): Promise<string> =>
  kubectl(["apply", "--server-side", "--force-conflicts", "--field-manager=silent-node", ...more, "-f", "-"], {
    input: JSON.stringify(object),
  })

const room = { cpu: "4", memory: "8Gi", pods: "20", "ephemeral-storage": "10Gi" }

/** What a node says of itself; the control plane believes it for 50 s. */
const report = async (name: string): Promise<void> => {
  const now = new Date().toISOString().replace(/\.\d+Z$/, "Z")
  const heard = { reason: "KubeletReady", lastHeartbeatTime: now, lastTransitionTime: now }
  const status = { capacity: room, allocatable: room, conditions: [{ type: "Ready", status: "True", ...heard }] }
  await apply({ apiVersion: "v1", kind: "Node", metadata: { name }, status }, ["--subresource=status"])
}

/** Renews its Lease, as kubelets do each ten seconds. */
const renew = (name: string): Promise<string> =>
  apply({
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata: { name, namespace: "kube-node-lease" },
    spec: {
      holderIdentity: name,
      leaseDurationSeconds: 40,
      renewTime: new Date().toISOString().replace("Z", "000Z"),
    },
  })

/**
 * Registers a node with a label, which keeps all other Pods away by a taint. Remove it.
 * @param taint Key and effect NoSchedule.
 */
export const registerSilentNode = async (
  name: string,
  { label, taint }: { readonly label: string; readonly taint: string },
): Promise<SilentNode> => {
  const timer = setInterval(() => void renew(name).catch(() => {}), 5_000)
  const lose = (): void => clearInterval(timer)
  const remove = async (): Promise<void> => {
    lose()
    const ofNode = `--field-selector=spec.nodeName=${name}`
    await kubectl(["delete", "pods", "--all-namespaces", ofNode, "--force", "--grace-period=0"])
    await kubectl(["delete", "node", name, "--ignore-not-found"])
    await kubectl(["delete", "lease", name, "-n", "kube-node-lease", "--ignore-not-found"])
  }
  await apply({
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, labels: { [label]: name } },
    spec: { taints: [{ key: taint, effect: "NoSchedule" }] },
  })
  await renew(name)
  await report(name)
  return { name, lose, remove }
}
