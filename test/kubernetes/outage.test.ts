/** What users notice of it while the API server is away, and after: with a gateway alone, and with both roles in one. */
import { setTimeout as sleep } from "node:timers/promises"
import { beforeAll, describe, expect, test } from "vitest"
import { type Lease, leaseKind } from "../../src/api/kinds/kubernetes.ts"
import { type MCPInstance, mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import type { Change, Reflection } from "../../src/ports/cluster.ts"
import { eventually } from "../support/processes.ts"
import { initialize, post, repositoryFile } from "../support/reflow.ts"
import { cluster, kubectl, openCluster, readServer, waitFor } from "./support/cluster.ts"
import { ensureImages } from "./support/images.ts"
import { isLeading, release } from "./support/leader.ts"
import { startRelay } from "./support/relay.ts"
import {
  type Installation,
  makeInstallation,
  type RoleProcess,
  readBootstrapToken,
  sample,
  startRole,
} from "./support/role.ts"

let place: Installation
let instances: Reflection<MCPInstance>
let leases: Reflection<Lease>

beforeAll(async () => {
  await ensureImages(["notes", "dice"], cluster)
  place = await makeInstallation("outage")
  const client = openCluster("test")
  instances = client.watch(mcpInstanceKind, { namespace: place.instances })
  leases = client.watch(leaseKind, { namespace: place.own })
  await Promise.all([instances, leases].map(({ synced }) => synced))
  for (const target of ["notes", "dice"])
    await kubectl(["apply", "-n", place.instances, "-f", repositoryFile(`examples/targets/${target}.yaml`)])
}, 300_000)

let token = ""
/** Calls a method as the bootstrap administrator; resolves with status, session and answer. */
const call = async (role: RoleProcess, target: string, message: object, session?: string) => {
  const { url } = await role.line("serving")
  if (token === "") token = await readBootstrapToken(place)
  const headers = session === undefined ? undefined : { "mcp-session-id": session }
  const response = await post(`${url}/mcp/${target}`, token, message, headers)
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

/** Calls the tools of a warm server for so long; each call must be answered. */
const useFor = async (ms: number, role: RoleProcess, session: string): Promise<void> => {
  for (const end = performance.now() + ms; performance.now() < end; await sleep(250)) {
    const { status, text } = await call(role, "notes", tools, session)
    expect(status, text).toBe(200)
    expect(text).toContain("add_note")
  }
}

/** Removes the server of dice: the next request is a cold one. */
const coolDice = () => kubectl(["delete", "mcpi", "--field-selector=spec.targetName=dice", "-n", place.instances])

/** When the role last heard of instances, in seconds since the epoch. */
const lastHeard = (role: RoleProcess) => sample(role, 'reflow_watch_last_event_timestamp_seconds{kind="MCPInstance"}')

describe("a server", () => {
  test("is started by the role all for a cold request; the next one finds it at its Service", async () => {
    const role = startRole("all", { kubeconfig: await place.kubeconfig("all"), namespace: place.instances })
    await role.line("leading")
    const session = await open(role, "notes")
    const isReady = ({ spec, status }: MCPInstance) => spec.targetName === "notes" && status?.phase === "Ready"
    await waitFor(instances, (each) => [...each.items()].find(isReady), 60_000, "the instance is Ready")
    const { status, text } = await call(role, "notes", tools, session)
    expect(status, text).toBe(200)
    expect(text).toContain("add_note")
    // the gateway serves on for a while, then the operator gives its Lease back
    await release(leases, role)
  })

  test("that is warm is served while the API server is gone from the gateway, which is ready and tells how long it has heard nothing; a cold one is made within 5 s of its return", async () => {
    const operatorConfig = await place.kubeconfig("operator")
    const operator = startRole("operator", { kubeconfig: operatorConfig, namespace: place.instances })
    await operator.line("leading")
    const relay = await startRelay((await readServer()).server)
    const kubeconfig = await place.kubeconfig("gateway", relay.url)
    const gateway = startRole("gateway", { kubeconfig, namespace: place.instances })
    const session = await open(gateway, "notes")
    await coolDice()
    await relay.leave()
    const left = Date.now() / 1_000
    await useFor(8_000, gateway, session)
    expect([(await gateway.probe("/readyz")).status, (await gateway.probe("/healthz")).status]).toEqual([200, 200])
    expect(await lastHeard(gateway)).toBeLessThan(left + 1)

    const isNew = ({ type, object }: Change<MCPInstance>) => type === "added" && object.spec.targetName === "dice"
    const made = new Promise<number>((done) =>
      instances.subscribe((change) => {
        if (isNew(change)) done(Date.now())
      }),
    )
    await relay.comeBack()
    const back = Date.now()
    await open(gateway, "dice")
    expect((await made) - back).toBeLessThan(5_000)
    await eventually(async () => (await lastHeard(gateway)) >= back / 1_000, 5_000, "the gateway hears again")
    gateway.process.kill("SIGTERM")
    expect(await gateway.ended).toBe(0)
    await relay.close()
    await release(leases, operator)
  })

  test("that is warm is served by the role all while the API server is gone; it leads again after its return, and starts a cold one", async () => {
    const relay = await startRelay((await readServer()).server)
    const kubeconfig = await place.kubeconfig("all", relay.url)
    const role = startRole("all", { kubeconfig, namespace: place.instances })
    await role.line("leading", 30_000)
    const session = await open(role, "notes")
    await coolDice()
    expect(await isLeading(role)).toBe(true)
    const led = role.lines.filter(({ message }) => message === "leading").length
    await relay.leave()
    const left = Date.now() / 1_000
    await Promise.all([useFor(14_000, role, session), role.line("leadership lost")])
    expect([(await role.probe("/readyz")).status, (await role.probe("/healthz")).status]).toEqual([200, 200])
    expect(await isLeading(role)).toBe(false)
    expect(await lastHeard(role)).toBeLessThan(left + 1)
    await relay.comeBack()
    await open(role, "dice")
    expect(role.lines.filter(({ message }) => message === "leading").length).toBeGreaterThan(led)
    await relay.close()
  })
})
