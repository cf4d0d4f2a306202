/** Two users of an installed gateway, through its Service. The first test is the specification's «How It Works». */
import { createHash, randomBytes } from "node:crypto"
import { beforeAll, describe, expect, test } from "vitest"
import { type Service, serviceKind } from "../../../src/api/kinds/kubernetes.ts"
import { type MCPInstance, mcpInstanceKind } from "../../../src/api/kinds/mcp-instance.ts"
import { type Pod, podKind } from "../../../src/api/kinds/pod.ts"
import { instanceName } from "../../../src/api/names.ts"
import { sharerKey, sharerNamed } from "../../../src/identity/subject-key.ts"
import type { Reflection } from "../../../src/ports/cluster.ts"
import { connectV1, connectV2, type Peer } from "../../support/mcp-peers.ts"
import { toolText } from "../../support/modern.ts"
import { callerOf, readEntries } from "../support/audit.ts"
import { cluster, kubectl, kubectlJson, openCluster, waitFor } from "../support/cluster.ts"
import { ensureImages } from "../support/images.ts"
import {
  applyFolders,
  bootstrapToken,
  gatewayHost,
  instanceNamespace,
  isRolledOut,
  makeRoom,
  reconfigure,
  serviceIP,
} from "../support/install.ts"

type User = { readonly name: string; readonly token: string; readonly credential: string }

const makeUser = (name: string): User => ({
  name,
  token: randomBytes(24).toString("base64url"),
  credential: `canary-of-${name}`,
})
const [alice, bob] = [makeUser("alice"), makeUser("bob")]
const users = [alice, bob]

const toStaticToken = ({ name, token }: User) => ({
  name,
  subject: name,
  sha256: createHash("sha256").update(token).digest("hex"),
  for: ["mcp", "api"],
})

let url = ""
let admin = ""
let instances: Reflection<MCPInstance>
let pods: Reflection<Pod>
let services: Reflection<Service>

beforeAll(async () => {
  await ensureImages(["gateway", "github", "dual"], cluster)
  await makeRoom()
  await applyFolders()
  await isRolledOut()
  const ip = await serviceIP()
  await reconfigure(({ gateway, ...config }) => ({
    ...config,
    gateway: { ...gateway, allowed_hosts: ["localhost", ip] },
    auth: { tokens: users.map(toStaticToken) },
  }))
  url = `http://${await gatewayHost()}`
  admin = await bootstrapToken()
  const client = openCluster("test")
  const place = { namespace: instanceNamespace }
  instances = client.watch(mcpInstanceKind, place)
  pods = client.watch(podKind, place)
  services = client.watch(serviceKind, place)
  await Promise.all([instances.synced, pods.synced, services.synced])
}, 600_000)

const api = async (method: string, path: string, body?: unknown, token = admin) => {
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" }
  const response = await fetch(`${url}/api/${path}`, { method, headers, body: JSON.stringify(body) ?? null })
  const text = await response.text()
  expect(response.ok, `${method} ${path}: ${response.status} ${text}`).toBe(true)
  return text === "" ? undefined : JSON.parse(text)
}

/** One sentence of the specification: what fails in it is told with it. */
const step = async <T>(sentence: string, check: () => Promise<T>): Promise<T> => {
  try {
    return await check()
  } catch (error) {
    throw new Error(`«${sentence}»: ${error instanceof Error ? error.message : error}`, { cause: error })
  }
}

/** What the server tells of the connection by which it was called. */
type Connection = { readonly host: string; readonly connection: string; readonly machine: string }

const connection = async ({ token }: User): Promise<Connection> =>
  JSON.parse(await toolText(`${url}/mcp/github-k8s`, token, "connection"))

const owned = <T extends Pod | Service>(all: Reflection<T>, { metadata }: MCPInstance): T | undefined =>
  [...all.items()].find((each) => each.metadata.ownerReferences?.some(({ uid }) => uid === metadata.uid))

/** Who made which objects of each instance, in the order of the API server's audit log, e.g. `gateway secrets`. */
const creations = async (names: readonly string[], from: number): Promise<string[][]> => {
  if (cluster.auditLog === undefined) return []
  const entries = await readEntries(cluster.auditLog, { from, holding: [`"namespace":"${instanceNamespace}"`] })
  const made = entries
    .filter(({ verb, responseStatus, objectRef }) => {
      return verb === "create" && responseStatus?.code === 201 && objectRef?.resource !== "events"
    })
    .toSorted((a, b) => (a.requestReceivedTimestamp < b.requestReceivedTimestamp ? -1 : 1))
  return names.map((name) =>
    made
      .filter(({ objectRef }) => objectRef?.name?.startsWith(name))
      .flatMap((entry) => {
        const actor = callerOf(entry)?.actor
        return actor === undefined ? [] : [`${actor} ${entry.objectRef?.resource}`]
      }),
  )
}

test("how it works, sentence by sentence, for two users", { timeout: 180_000 }, async () => {
  const target = {
    name: "github-k8s",
    transport_type: "kubernetes",
    image: "ghcr.io/org/mcp-github:latest",
    port: 8080,
    statefulness: "stateful",
    isolation_boundary: "per_user",
    credentials: [{ name: "GITHUB_TOKEN" }],
  }
  await api("POST", "targets", target)
  const from = Date.now()
  for (const { credential, token } of users)
    await api("PUT", "targets/github-k8s/env/me", { GITHUB_TOKEN: credential }, token)
  const { uid } = ((await kubectlJson(["get", "mcpt", "github-k8s", "-n", instanceNamespace])) as MCPInstance).metadata

  const answered = new Map<string, number>()
  const calls = await step("User sends an MCP request to the gateway", async () =>
    users.map(async (user) => {
      const answer = await connection(user)
      answered.set(user.name, Date.now())
      return answer
    }),
  )

  const made = await step("Gateway computes a subject key from the target's isolation boundary + user identity", () =>
    Promise.all(
      users.map(async (user) => {
        const subjectKey = sharerKey(sharerNamed("user", { issuer: "static", name: user.name }))
        const name = instanceName("github-k8s", uid ?? "", subjectKey)
        const instance = await waitFor(instances, (all) => all.get(name), 60_000, `${name} of ${user.name}`)
        expect(instance.spec).toMatchObject({ subjectKey, targetName: "github-k8s", targetUID: uid })
        return { user, instance }
      }),
    ),
  )

  await step("Gateway creates a Kubernetes Secret with resolved environment variables", async () => {
    for (const { user, instance } of made) {
      const secret = await kubectlJson(["get", "secret", instance.spec.secretName ?? "", "-n", instanceNamespace])
      const data = { GITHUB_TOKEN: Buffer.from(user.credential).toString("base64") }
      expect(secret).toMatchObject({ immutable: true, data })
      expect(Object.keys((secret as { data: object }).data)).toEqual(["GITHUB_TOKEN"])
    }
  })

  await step("Gateway creates an MCPInstance CR referencing the Secret", async () => {
    for (const { instance } of made) {
      expect(instance.spec.secretName).toMatch(new RegExp(`^${instance.metadata.name}-\\w{5}$`))
      expect(instance.spec).toMatchObject({ image: target.image, port: 8080 })
    }
  })

  const running = await step("Operator reconciles: creates Pod + Service", async () =>
    Promise.all(
      made.map(async ({ user, instance }) => {
        const service = await waitFor(services, (all) => owned(all, instance), 60_000, `a Service for ${user.name}`)
        const pod = await waitFor(pods, (all) => owned(all, instance), 60_000, `a Pod for ${user.name}`)
        expect(service).toMatchObject({ metadata: { name: instance.metadata.name }, spec: { type: "ClusterIP" } })
        expect(pod.spec.containers[0]).toMatchObject({
          image: target.image,
          envFrom: [{ secretRef: { name: instance.spec.secretName } }],
        })
        return { user, instance, pod, service: `${service.spec.clusterIP}:8080` }
      }),
    ),
  )

  await step("Gateway polls until the Pod is Ready", async () => {
    const first = await Promise.all(calls)
    for (const [index, { user, pod }] of running.entries()) {
      expect(first[index]?.machine).toBe(pod.metadata.name)
      // the kubelet reports that a server runs a moment after the server may have answered
      const { name } = pod.metadata
      const startOf = (all: typeof pods) => all.get(name)?.status?.containerStatuses?.[0]?.state?.running?.startedAt
      const started = await waitFor(pods, startOf, 10_000, `the start of ${name}`)
      expect(answered.get(user.name)).toBeGreaterThanOrEqual(Date.parse(started))
    }
  })

  await step("Gateway connects to the Pod via HTTP (Streamable HTTP) through the ClusterIP Service", async () => {
    // the second call of each, at once, by whichever gateway: it waits until the Service routes
    const second = await Promise.all(running.map(({ user }) => connection(user)))
    for (const [index, { pod, service }] of running.entries())
      expect(second[index]).toMatchObject({ host: service, machine: pod.metadata.name })
    for (const { instance } of running)
      await kubectl(["wait", "--for=condition=Ready", `mcpi/${instance.metadata.name}`, "-n", instanceNamespace])
  })

  await step("Subsequent requests reuse the cached HTTP client", async () => {
    for (const { user, pod, service } of running) {
      const seen = new Set<string>()
      for (let call = 0; call < 6; call++) {
        const { host, machine, connection: way } = await connection(user)
        expect({ host, machine }).toEqual({ host: service, machine: pod.metadata.name })
        seen.add(way)
      }
      // two gateways stand behind the Service, each with a client of its own
      expect(seen.size).toBeLessThanOrEqual(2)
    }
  })

  const order = ["gateway secrets", "gateway mcpinstances", "operator services", "operator pods"]
  for (const each of await creations(
    running.map(({ instance }) => instance.metadata.name),
    from,
  ))
    expect(each, "the order in the audit log").toEqual(order)
})

test("each user's server has its user's credential and no other", async () => {
  for (const { token, credential } of users) {
    const said = await toolText(`${url}/mcp/github-k8s`, token, "env", { names: ["GITHUB_TOKEN"] })
    expect(JSON.parse(said)).toEqual({ GITHUB_TOKEN: credential })
  }
})

describe("real MCP clients", () => {
  beforeAll(async () => {
    const common = { transport_type: "kubernetes", port: 8080, image: "ghcr.io/reflow/example-dual:1.0.0" }
    await api("POST", "targets", { name: "dual", ...common, isolation_boundary: "per_user" })
  })

  const connects: readonly (readonly [string, (address: string, token: string) => Promise<Peer>])[] = [
    ["the library 1.x", connectV1],
    ["the library 2.x, which asks for the era", (...to) => connectV2("auto", ...to)],
    ["the library 2.x, held to 2026-07-28", (...to) => connectV2("2026-07-28", ...to)],
  ]

  test.each(connects)("%s: two users list and call tools, each in a process of their own", async (_, connect) => {
    const peers = await Promise.all(users.map(({ token }) => connect(`${url}/mcp/dual`, token)))
    const hosts: string[] = []
    for (const peer of peers) {
      expect(await peer.tools()).toEqual(expect.arrayContaining(["echo", "progress", "env"]))
      expect((await peer.call("echo", { message: "through the Service" })).text).toBe("Echo: through the Service")
      expect((await peer.call("progress", { steps: 3 })).progress).toBe(3)
      const { values } = JSON.parse((await peer.call("env", { names: ["HOSTNAME"] })).text)
      hosts.push(values.HOSTNAME)
      await peer.close()
    }
    expect(new Set(hosts).size).toBe(2)
  })
})

test("a restart by the administrator gives each user a new server, and a deleted target leaves nothing", async () => {
  const before = await connection(alice)
  expect(await api("POST", "targets/github-k8s/restart-instances", {})).toMatchObject({ restarted: 2 })
  const after = await connection(alice)
  expect(after.machine).not.toBe(before.machine)

  for (const target of ["github-k8s", "dual"]) await api("DELETE", `targets/${target}`)
  await waitFor(instances, ({ size }) => (size === 0 ? true : undefined), 60_000, "no instance is left")
  await waitFor(pods, ({ size }) => (size === 0 ? true : undefined), 60_000, "no Pod is left")
  await waitFor(services, ({ size }) => (size === 0 ? true : undefined), 60_000, "no Service is left")
  const secrets = () => kubectl(["get", "secrets", "-n", instanceNamespace, "-o", "name"])
  await expect.poll(secrets, { timeout: 30_000 }).toBe("")
})
