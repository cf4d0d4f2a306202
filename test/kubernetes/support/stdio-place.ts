/** Both roles in namespaces of their own, with servers that speak stdin and stdout, and two users. */
import { createHash, randomBytes } from "node:crypto"
import { expect } from "vitest"
import { type MCPInstance, mcpInstanceKind } from "../../../src/api/kinds/mcp-instance.ts"
import { type Pod, podKind } from "../../../src/api/kinds/pod.ts"
import type { Reflection } from "../../../src/ports/cluster.ts"
import { kubectl, openCluster } from "./cluster.ts"
import { images } from "./images.ts"
import { type Installation, makeInstallation, type RoleProcess, startRole } from "./role.ts"

/** Tokens of the users. */
export const secretOf = { alice: randomBytes(18).toString("base64url"), bob: randomBytes(18).toString("base64url") }
export type User = keyof typeof secretOf
/** The users. */
export const users = Object.keys(secretOf) as User[]
const tokens = users.map((name) => ({
  name,
  subject: name,
  sha256: createHash("sha256").update(secretOf[name]).digest("hex"),
  for: ["mcp", "api"],
}))

/** A namespace with both roles. */
export type Place = Installation & {
  readonly instances: string
  readonly url: string
  readonly operator: RoleProcess
  readonly gateway: RoleProcess
  readonly seen: Reflection<MCPInstance>
  readonly pods: Reflection<Pod>
}

/** The setting by which stdio servers get their bridge. */
export const bridge = { "kubernetes.bridge.image": images.gateway.name }

/** Starts an operator of a place. It is killed at the end of the file. */
export const startOperator = async (
  place: Installation,
  set: Readonly<Record<string, string>>,
): Promise<RoleProcess> => {
  const kubeconfig = await place.kubeconfig("operator")
  const operator = startRole("operator", { kubeconfig, namespace: place.instances, set, until: "file" })
  await operator.line("leading")
  return operator
}

/** Starts both roles in namespaces of their own; `before` runs before them. */
export const startPlace = async (
  prefix: string,
  set: Readonly<Record<string, string>>,
  before: (namespace: string) => Promise<void> = async () => {},
): Promise<Place> => {
  const made = await makeInstallation(prefix)
  await before(made.instances)
  const namespace = made.instances
  const client = openCluster("test")
  const [seen, pods] = [client.watch(mcpInstanceKind, { namespace }), client.watch(podKind, { namespace })]
  const operator = await startOperator(made, set)
  const gateway = startRole("gateway", {
    kubeconfig: await made.kubeconfig("gateway"),
    namespace,
    set: { "auth.tokens": JSON.stringify(tokens) },
    until: "file",
  })
  const url = String((await gateway.line("serving")).url)
  await Promise.all([seen.synced, pods.synced])
  return { ...made, url, operator, gateway, seen, pods }
}

const resources = { requests: { cpu: "10m", memory: "32Mi" }, limits: { cpu: "500m", memory: "256Mi" } }

/** The servers: one in an image that has a Node and libc, one in an image that has nothing but itself. */
const servers = {
  onNode: {
    image: images.stdio.name,
    command: ["/usr/local/bin/node", "/app/test/fixtures/images/stdio.mjs"],
    stdio: { node: "/usr/local/bin/node" },
  },
  noded: {
    image: images.stdio.name,
    command: ["/usr/local/bin/node", "/app/test/fixtures/images/stdio.mjs"],
    stdio: {},
  },
  bare: { image: images.bare.name, command: ["/server"], stdio: {} },
} as const
export type Server = keyof typeof servers

/** Makes a target for one of the servers. */
export const makeTarget = async (
  { instances: namespace }: Place,
  name: string,
  server: Server,
  more: object = {},
): Promise<void> => {
  const spec = { ...servers[server], credentials: [{ name: "TOKEN" }], resources, ...more }
  const object = { apiVersion: "mcp.reflow.io/v1alpha1", kind: "MCPTarget", metadata: { name, namespace }, spec }
  await kubectl(["create", "-f", "-"], { input: JSON.stringify(object) })
  await kubectl(["wait", "--for=condition=Accepted", `mcpt/${name}`, "-n", namespace, "--timeout=30s"])
}

/** Sets a user's credential TOKEN. */
export const setCredential = async ({ url }: Place, target: string, user: User): Promise<void> => {
  const response = await fetch(`${url}/api/targets/${target}/env/me`, {
    method: "PUT",
    headers: { authorization: `Bearer ${secretOf[user]}`, "content-type": "application/json" },
    body: JSON.stringify({ TOKEN: `canary-of-${user}` }),
  })
  expect(response.status, await response.text()).toBe(200)
}

/** The instances of a target. */
export const instancesOf = ({ seen }: Place, target: string): readonly MCPInstance[] =>
  [...seen.items()].filter(({ spec }) => spec.targetName === target)
