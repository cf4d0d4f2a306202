/** The installation as docs/install.md has it, in the namespaces that the folders name. One test file at a time has it. */

import { spawn } from "node:child_process"
import { get } from "node:http"
import { createInterface } from "node:readline"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll } from "vitest"
import { parse, stringify } from "yaml"
import { eventually } from "../../support/processes.ts"
import { repositoryFile } from "../../support/reflow.ts"
import { cluster, kubectl, kubectlJson } from "./cluster.ts"
import { ensureImages } from "./images.ts"

/** Namespace of operator and gateway. */
export const ownNamespace = "reflow-system"
/** Namespace of the instances. */
export const instanceNamespace = "reflow"

const undo: (() => Promise<unknown>)[] = []
afterAll(async () => {
  for (const each of undo.splice(0).reverse()) await each()
}, 180_000)

const folders = ["crd", "rbac", "manager"].flatMap((name) => ["-f", repositoryFile(name)])
const waitMs = 180_000

/** Removes what an earlier run has left, and waits until it is gone: instances, programs, namespaces. The kinds stay. */
const remove = async (): Promise<void> => {
  const gone = ["--ignore-not-found", "--timeout=150s"]
  const both = ["namespace", ownNamespace, instanceNamespace]
  await kubectl(["delete", "-f", repositoryFile("manager"), ...gone], { timeoutMs: waitMs })
  await kubectl(["delete", ...both, ...gone], { timeoutMs: waitMs })
}

/** Makes room for an installation; it is removed at the end of the file. */
export const makeRoom = async (): Promise<void> => {
  await ensureImages(["gateway"], cluster)
  await remove()
  undo.push(remove)
}

/** Objects of our kinds in the whole cluster, e.g. `mcpinstance.mcp.reflow.io/a`; none where the kinds are unknown. */
const ownObjects = async (): Promise<string> => {
  const kinds = await kubectl(["api-resources", "--api-group=mcp.reflow.io", "-o", "name", "--cached=false"])
  const names = kinds.trim().split("\n").filter(Boolean).join(",")
  return names === "" ? "" : await kubectl(["get", names, "--all-namespaces", "-o", "name"])
}

/**
 * Removes the kinds too, so that the cluster is as fresh as docs/install.md finds it; {@link applyFolders} makes them
 * again. Waits for the namespaces that other files leave behind, and takes no object with it that is not a test's.
 */
export const forgetKinds = async (): Promise<void> => {
  await eventually(async () => (await ownObjects()) === "", waitMs, "no namespace has objects of our kinds")
  await kubectl(["delete", "-f", repositoryFile("crd"), "--ignore-not-found", "--timeout=150s"], { timeoutMs: waitMs })
}

/** Runs the command of docs/install.md; resolves with what kubectl says of each object. */
export const applyFolders = async (): Promise<string[]> => (await kubectl(["apply", ...folders])).trim().split("\n")

/** Resolves when operator and gateway are rolled out. */
export const isRolledOut = async (): Promise<void> => {
  for (const name of ["reflow-operator", "reflow-gateway"])
    await kubectl(["rollout", "status", `deployment/${name}`, "-n", ownNamespace, "--timeout=150s"], {
      timeoutMs: waitMs,
    })
}

/** The configuration file by sections. */
type Sections = Readonly<Record<string, Readonly<Record<string, unknown>>>>

const gatewayPods = "app.kubernetes.io/name=reflow-gateway"

/** Changes the configuration in the ConfigMap and restarts the gateway, as docs/install.md says. */
export const reconfigure = async (change: (config: Sections) => Sections): Promise<void> => {
  const map = (await kubectlJson(["get", "configmap", "reflow", "-n", ownNamespace])) as {
    data: { [key: string]: string }
  }
  const config = stringify(change(parse(map.data["reflow.yaml"] ?? "")))
  const patch = JSON.stringify({ data: { "reflow.yaml": config } })
  await kubectl(["patch", "configmap", "reflow", "-n", ownNamespace, "--type=merge", "-p", patch])
  const before = await kubectl(["get", "pods", "-l", gatewayPods, "-n", ownNamespace, "-o", "name"])
  await kubectl(["rollout", "restart", "deployment/reflow-gateway", "-n", ownNamespace])
  await isRolledOut()
  // a gateway that ends serves on for a while, with the configuration that it had
  const old = before.trim().split("\n").filter(Boolean)
  await kubectl(["wait", "--for=delete", ...old, "-n", ownNamespace, "--timeout=120s"], { timeoutMs: waitMs })
}

/** Forwards a local port to a Pod of the gateway's Service, as docs/install.md does; resolves with the local HOST:PORT. */
export const forward = async (namespace = ownNamespace): Promise<string> => {
  const args = ["--kubeconfig", cluster.kubeconfig, "port-forward", "-n", namespace, "service/reflow-gateway", ":80"]
  const child = spawn(cluster.kubectl, args, { stdio: ["ignore", "pipe", "inherit"] })
  undo.push(async () => child.kill())
  for await (const line of createInterface({ input: child.stdout })) {
    const port = /^Forwarding from 127\.0\.0\.1:(\d+)/.exec(line)?.[1]
    if (port !== undefined) return `localhost:${port}`
  }
  throw new Error("kubectl port-forward ended")
}

/** The ClusterIP of the gateway's Service. */
export const serviceIP = (namespace = ownNamespace): Promise<string> =>
  kubectl(["get", "service", "reflow-gateway", "-n", namespace, "-o", "jsonpath={.spec.clusterIP}"])

/** One request on a connection of its own; true if it was the gateway that answered. */
const asksGateway = (host: string): Promise<boolean> =>
  new Promise((resolve) => {
    const asked = get({ host, path: "/api/whoami", agent: false, timeout: 2_000 }, ({ headers, statusCode }) => {
      resolve(statusCode === 401 && String(headers["www-authenticate"]).includes('realm="reflow"'))
      asked.destroy()
    })
    asked.on("timeout", () => asked.destroy())
    asked.on("error", () => resolve(false))
  })

/**
 * True if the gateway answers, and a moment later still does. While kube-proxy does not route to a new Service yet, or
 * changes its rules, packets leave by the default route, where somebody else may accept the connection: a test that keeps
 * that connection would talk to a stranger to its end.
 */
const isGateway = async (host: string): Promise<boolean> => {
  if (!(await asksGateway(host))) return false
  await sleep(300)
  return asksGateway(host)
}

/**
 * Where this machine reaches the gateway's Service, as HOST or HOST:PORT: at its ClusterIP if this machine is the node,
 * else by kubectl port-forward, which ends with the Pod that it leads to.
 */
export const gatewayHost = async (namespace = ownNamespace): Promise<string> => {
  if (cluster.origin !== "built") return forward(namespace)
  const ip = await serviceIP(namespace)
  await eventually(() => isGateway(ip), waitMs, "the gateway answers at its Service")
  return ip
}

/** The token of the first administrator, read as docs/install.md says. */
export const bootstrapToken = async (namespace = ownNamespace): Promise<string> => {
  const path = "jsonpath={.data.token}"
  const data = await kubectl(["get", "secret", "reflow-bootstrap-token", "-n", namespace, "-o", path])
  return Buffer.from(data, "base64").toString()
}
