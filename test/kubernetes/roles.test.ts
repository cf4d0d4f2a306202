import { get } from "node:http"
import { setTimeout as sleep } from "node:timers/promises"
import { beforeAll, describe, expect, test } from "vitest"
import { type MCPInstance, mcpInstanceKind } from "../../src/api/mcp-instance.ts"
import { podKind } from "../../src/api/pod.ts"
import { serviceKind } from "../../src/api/service.ts"
import type { Reflection } from "../../src/ports/cluster.ts"
import { eventually } from "../support/processes.ts"
import { initialize, post, repositoryFile } from "../support/reflow.ts"
import { cluster, kubectl, kubectlJson, openCluster, readServer, waitFor } from "./support/cluster.ts"
import { ensureImages } from "./support/images.ts"
import { startRelay } from "./support/relay.ts"
import { type Installation, makeInstallation, type RoleProcess, startRole } from "./support/role.ts"

let place: Installation
let instances: Reflection<MCPInstance>
let operatorConfig: string

beforeAll(async () => {
  place = await makeInstallation("roles")
  operatorConfig = await place.kubeconfig("operator")
  instances = openCluster("test").watch(mcpInstanceKind, { namespace: place.instances })
  await instances.synced
})

/** Applies an instance by hand, as a person would. Its image is nowhere. */
const applyInstance = (name: string) =>
  kubectl(["apply", "-f", "-"], {
    input: JSON.stringify({
      apiVersion: "mcp.reflow.io/v1alpha1",
      kind: "MCPInstance",
      metadata: { name, namespace: place.instances },
      spec: { image: "registry.invalid/nothing:1", port: 8080, targetName: "files", subjectKey: `user:${name}` },
    }),
  })

const startOperator = (kubeconfig = operatorConfig): RoleProcess =>
  startRole("operator", { kubeconfig, namespace: place.instances })

/** Resolves once the operator has seen an instance: it has a phase. */
const isWorkedOn = async (name: string, ms: number): Promise<void> => {
  await waitFor(instances, (each) => each.get(name)?.status?.phase, ms, `${name} has a phase`)
}

const holder = async (): Promise<string> => {
  const lease = (await kubectlJson(["get", "lease", "reflow-operator", "-n", place.own])) as {
    spec: { holderIdentity?: string }
  }
  return lease.spec.holderIdentity ?? ""
}

const isLeading = async (role: RoleProcess): Promise<boolean> =>
  (await role.probe("/metrics")).text.includes('leader_election_master_status{name="reflow-operator"} 1')

describe("the operator", () => {
  test("makes Pod and Service of an instance applied by hand, and says why it does not start", async () => {
    const operator = startOperator()
    await operator.line("leading")
    await applyInstance("first")
    const failed = await waitFor(
      instances,
      (each) =>
        each.get("first")?.status?.conditions?.find(({ type, reason }) => type === "Ready" && /Pull/.test(reason)),
      60_000,
      "a reason about the image",
    )
    expect(failed).toMatchObject({ status: "False", message: expect.stringContaining("registry.invalid/nothing:1") })
    const { uid } = instances.get("first")?.metadata ?? {}
    const owner = { kind: "MCPInstance", name: "first", uid, controller: true }
    const client = openCluster("test")
    const [pods, services] = await Promise.all([
      client.list(podKind, { namespace: place.instances }),
      client.list(serviceKind, { namespace: place.instances }),
    ])
    expect(pods.items.map(({ metadata }) => metadata.ownerReferences)).toMatchObject([[owner]])
    expect(services.items.map(({ metadata }) => metadata.ownerReferences)).toMatchObject([[owner]])
    expect((await operator.probe("/readyz")).status).toBe(200)
    operator.process.kill("SIGTERM")
    expect(await operator.ended).toBe(0)
    expect(await holder()).toBe("")
  })

  test("of two, one leads; the other is ready and takes over within 20 s of a kill, and at once of an orderly end", async () => {
    const first = startOperator()
    await first.line("leading")
    const second = startOperator()
    await eventually(async () => (await second.probe("/readyz")).status === 200, 10_000, "the standby is ready")
    expect([await isLeading(first), await isLeading(second)]).toEqual([true, false])
    expect((await second.probe("/healthz")).status).toBe(200)

    first.process.kill("SIGKILL")
    await applyInstance("second")
    await second.line("leading", 20_000)
    await isWorkedOn("second", 5_000)

    const third = startOperator()
    await eventually(async () => (await third.probe("/readyz")).status === 200, 10_000, "the standby is ready")
    second.process.kill("SIGTERM")
    expect(await second.ended).toBe(0)
    await third.line("leading", 3_000)
    await applyInstance("third")
    await isWorkedOn("third", 5_000)
    third.process.kill("SIGTERM")
    await third.ended
  })

  test("that is cut off from the API server ends with code 3 after 10 s; another one leads then", async () => {
    const relay = await startRelay((await readServer()).server)
    const cut = startOperator(await place.kubeconfig("operator", relay.url))
    await cut.line("leading")
    const standby = startOperator()
    await eventually(async () => (await standby.probe("/readyz")).status === 200, 10_000, "the standby is ready")
    const since = performance.now()
    await relay.leave()
    expect(await cut.ended).toBe(3)
    expect(performance.now() - since).toBeLessThan(15_000)
    expect(cut.output()).toContain("LeadershipLost")
    expect(standby.lines.some(({ message }) => message === "leading")).toBe(false)
    await standby.line("leading", 12_000)
    standby.process.kill("SIGTERM")
    await standby.ended
  })

  test("waits for an API server that is away at the start, alive and not ready, and says so", async () => {
    const relay = await startRelay((await readServer()).server)
    const kubeconfig = await place.kubeconfig("operator", relay.url)
    await relay.leave()
    const operator = startOperator(kubeconfig)
    await operator.line("the lease could not be held")
    expect([(await operator.probe("/healthz")).status, (await operator.probe("/readyz")).status]).toEqual([200, 503])
    await relay.comeBack()
    await operator.line("leading", 8_000)
    await eventually(async () => (await operator.probe("/readyz")).status === 200, 5_000, "ready")
    operator.process.kill("SIGTERM")
    expect(await operator.ended).toBe(0)
    await relay.close()
  })
})

type Answer = { readonly status: number | undefined; readonly text: string }

/** Asks the gateway who is calling; with node:http, since fetch sets Host by itself. */
const whoami = async (gateway: RoleProcess, token: string, more: Record<string, string> = {}): Promise<Answer> => {
  const { url } = await gateway.line("serving")
  const headers = { authorization: `Bearer ${token}`, ...more }
  return await new Promise((done, fail) => {
    get(`${url}/api/whoami`, { headers, agent: false }, (response) => {
      let text = ""
      response.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk
      })
      response.on("end", () => done({ status: response.statusCode, text }))
    }).on("error", fail)
  })
}

describe("the gateway", () => {
  test("makes one bootstrap token for all replicas, which administers and is in no log", async () => {
    const kubeconfig = await place.kubeconfig("gateway")
    const replicas = [1, 2].map(() => startRole("gateway", { kubeconfig, namespace: place.instances }))
    await Promise.all(replicas.map((each) => each.line("serving")))
    const token = await place.bootstrapToken()
    expect(token).toMatch(/^[A-Za-z0-9_-]{43}$/)
    for (const replica of replicas) {
      const { status, text } = await whoami(replica, token)
      expect(status).toBe(200)
      expect(JSON.parse(text)).toMatchObject({ identity: { subject: "bootstrap-admin", admin: true } })
      expect((await whoami(replica, `${token}x`)).status).toBe(401)
      expect((await replica.probe("/readyz")).status).toBe(200)
      expect(replica.output()).not.toContain(token)
    }
    const names = await kubectl(["get", "secrets", "-n", place.own, "-o", "name"])
    expect(names.trim().split("\n").sort()).toEqual(["secret/reflow-bootstrap-token", "secret/reflow-gateway-keys"])
  })

  test("ends in order: not ready, still serving for 5 s, then gone with code 0", async () => {
    const kubeconfig = await place.kubeconfig("gateway")
    const gateway = startRole("gateway", { kubeconfig, namespace: place.instances })
    await gateway.line("serving")
    const token = await place.bootstrapToken()
    const since = performance.now()
    gateway.process.kill("SIGTERM")
    await gateway.line("stopping")
    expect((await gateway.probe("/readyz")).status).toBe(503)
    expect((await gateway.probe("/healthz")).status).toBe(200)
    while (performance.now() - since < 4_500) expect((await whoami(gateway, token)).status).toBe(200)
    expect(await gateway.ended).toBe(0)
    expect(performance.now() - since).toBeGreaterThan(5_000)
  })

  test("waits for an API server that is away at the start; serves within 5 s of its return", async () => {
    const relay = await startRelay((await readServer()).server)
    const kubeconfig = await place.kubeconfig("gateway", relay.url)
    await relay.leave()
    const gateway = startRole("gateway", { kubeconfig, namespace: place.instances })
    await gateway.line("waiting for the API server")
    expect([(await gateway.probe("/healthz")).status, (await gateway.probe("/readyz")).status]).toEqual([200, 503])
    await relay.comeBack()
    await gateway.line("serving", 5_000)
    expect((await gateway.probe("/readyz")).status).toBe(200)
    await relay.close()
  })

  test("on all addresses and without a public URL is reached under any name", async () => {
    const kubeconfig = await place.kubeconfig("gateway")
    const set = { "gateway.listen": "0.0.0.0:0" }
    const gateway = startRole("gateway", { kubeconfig, namespace: place.instances, set })
    await gateway.line("serving")
    const token = await place.bootstrapToken()
    const name = "reflow-gateway.reflow-system.svc.cluster.local"
    expect((await whoami(gateway, token, { host: name })).status).toBe(200)
    expect((await whoami(gateway, token, { host: name, origin: "http://evil.example" })).status).toBe(403)
  })
})

describe("a server", () => {
  /** Calls a method as the bootstrap administrator; resolves with status, session and answer. */
  const call = async (role: RoleProcess, target: string, message: object, session?: string) => {
    const { url } = await role.line("serving")
    const headers = session === undefined ? undefined : { "mcp-session-id": session }
    const response = await post(`${url}/mcp/${target}`, await place.bootstrapToken(), message, headers)
    return {
      status: response.status,
      session: response.headers.get("mcp-session-id") ?? "",
      text: await response.text(),
    }
  }
  const open = async (role: RoleProcess, target: string): Promise<string> => {
    const { status, session, text } = await call(role, target, initialize())
    expect(status, text).toBe(200)
    expect(text).toContain('"serverInfo"')
    return session
  }
  const tools = { jsonrpc: "2.0", id: 2, method: "tools/list" }

  beforeAll(async () => {
    await ensureImages(["notes", "dice"], cluster)
    for (const target of ["notes", "dice"])
      await kubectl(["apply", "-n", place.instances, "-f", repositoryFile(`examples/targets/${target}.yaml`)])
  }, 300_000)

  test("is started by the role all for a cold request; the next one finds it at its Service", async () => {
    const role = startRole("all", { kubeconfig: await place.kubeconfig("all"), namespace: place.instances })
    await role.line("leading")
    const session = await open(role, "notes")
    const isReady = ({ spec, status }: MCPInstance) => spec.targetName === "notes" && status?.phase === "Ready"
    await waitFor(instances, (each) => [...each.items()].find(isReady), 20_000, "the instance is Ready")
    const { status, text } = await call(role, "notes", tools, session)
    expect(status, text).toBe(200)
    expect(text).toContain("add_note")
    role.process.kill("SIGTERM")
    expect(await role.ended).toBe(0)
    expect(await holder()).toBe("")
  })

  test("that is warm is served while the API server is gone; a cold one again as soon as it is back", async () => {
    const relay = await startRelay((await readServer()).server)
    const kubeconfig = await place.kubeconfig("all", relay.url)
    const role = startRole("all", { kubeconfig, namespace: place.instances })
    const token = await place.bootstrapToken()
    const session = await open(role, "notes")
    expect(role.lines.filter(({ message }) => message === "leading")).toHaveLength(1)
    await relay.leave()
    const { url } = await role.line("serving")
    const end = performance.now() + 14_000
    while (performance.now() < end) {
      const response = await post(`${url}/mcp/notes`, token, tools, { "mcp-session-id": session })
      expect(await response.text()).toContain("add_note")
      await sleep(250)
    }
    await role.line("leadership lost")
    expect([(await role.probe("/readyz")).status, (await role.probe("/healthz")).status]).toEqual([200, 200])
    await relay.comeBack()
    await open(role, "dice")
    expect(role.lines.filter(({ message }) => message === "leading")).toHaveLength(2)
    await relay.close()
  })
})
