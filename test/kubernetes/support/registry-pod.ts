/** A registry in a Pod, where NetworkPolicies hold: what is on the node is outside of every policy. */
import { kubectl } from "./cluster.ts"
import { images } from "./images.ts"
import type { Way } from "./package-registries.ts"

/** Passes connections on to a registry on the node. */
const script = `
const { connect, createServer } = require("node:net")
const [host, port] = process.argv.slice(1)
createServer((socket) => {
  const onward = connect(Number(port), host)
  for (const each of [socket, onward]) each.on("error", () => {})
  socket.pipe(onward).pipe(socket)
  socket.on("close", () => onward.destroy())
  onward.on("close", () => socket.destroy())
}).listen(4873)`

const port = 4873

/** Makes a Service for a registry in a Pod that may come later; resolves with its URL. It goes with its namespace. */
export const makeRegistryService = async (namespace: string, name: string): Promise<string> => {
  const spec = { selector: { "app.kubernetes.io/name": name }, ports: [{ port, protocol: "TCP" }] }
  const service = { apiVersion: "v1", kind: "Service", metadata: { name, namespace }, spec }
  await kubectl(["create", "-f", "-"], { input: JSON.stringify(service) })
  const ip = await kubectl(["get", "service", name, "-n", namespace, "-o", "jsonpath={.spec.clusterIP}"])
  return `http://${ip}:${port}`
}

/** Makes the Pod of such a Service, where a registry of the node answers. It goes with its namespace. */
export const makeRegistryPod = async (namespace: string, name: string, way: Way): Promise<void> => {
  const container = {
    name,
    image: images.dice.name,
    command: ["/usr/local/bin/node", "-e", script, "--", way.host, String(way.port)],
    readinessProbe: { tcpSocket: { port }, periodSeconds: 1 },
    securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
  }
  const security = { runAsNonRoot: true, runAsUser: 65_532, seccompProfile: { type: "RuntimeDefault" } }
  const spec = { containers: [container], securityContext: security, terminationGracePeriodSeconds: 0 }
  const metadata = { name, namespace, labels: { "app.kubernetes.io/name": name } }
  await kubectl(["create", "-f", "-"], { input: JSON.stringify({ apiVersion: "v1", kind: "Pod", metadata, spec }) })
  await kubectl(["wait", "--for=condition=Ready", `pod/${name}`, "-n", namespace, "--timeout=50s"])
}
