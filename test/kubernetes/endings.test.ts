import { beforeAll, describe, expect, test } from "vitest"
import type { KubeObject } from "../../src/api/kinds/kind.ts"
import { secretKind, serviceKind } from "../../src/api/kinds/kubernetes.ts"
import { type MCPInstance, mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import { mcpTargetKind } from "../../src/api/kinds/mcp-target.ts"
import { podKind } from "../../src/api/kinds/pod.ts"
import type { ClusterPort, Reflection } from "../../src/ports/cluster.ts"
import { targetOf } from "../support/contracts/objects.ts"
import { eventually } from "../support/processes.ts"
import { initialize, post } from "../support/reflow.ts"
import { cluster, kubectl, openCluster, waitFor } from "./support/cluster.ts"
import { ensureImages } from "./support/images.ts"
import { makeInstallation, type RoleProcess, startRole } from "./support/role.ts"

/** How long a drain of this file waits for open calls. */
const drainMs = 6_000

let namespace: string
let truth: ClusterPort
let instances: Reflection<MCPInstance>
let role: RoleProcess
let token: string

beforeAll(async () => {
  await ensureImages(["dual"], cluster)
  const place = await makeInstallation("endings")
  namespace = place.instances
  truth = openCluster("test")
  instances = truth.watch(mcpInstanceKind, { namespace })
  await instances.synced
  const set = { "kubernetes.drain_timeout": `${drainMs / 1_000}s` }
  role = startRole("all", { kubeconfig: await place.kubeconfig("all"), namespace, set, until: "file" })
  await role.line("leading")
  const path = "jsonpath={.data.token}"
  token = atob(await kubectl(["get", "secret", "reflow-bootstrap-token", "-n", place.own, "-o", path]))
}, 300_000)

const makeTarget = (name: string, spec: Readonly<Record<string, unknown>>) =>
  truth.create(
    mcpTargetKind,
    targetOf(
      { namespace, name },
      { image: "ghcr.io/reflow/example-dual:1.0.0", isolationBoundary: "per_user", ...spec },
    ),
  )

const send = async (target: string, message: object, session?: string) => {
  const { url } = await role.line("serving")
  const headers = session === undefined ? {} : { "mcp-session-id": session }
  return post(`${url}/mcp/${target}`, token, message, headers)
}
const open = async (target: string): Promise<string> => {
  const response = await send(target, initialize())
  const text = await response.text()
  expect(response.status, text).toBe(200)
  return response.headers.get("mcp-session-id") ?? ""
}
const slow = (target: string, session: string, seconds: number) =>
  send(
    target,
    { jsonrpc: "2.0", id: 2, method: "tools/call", params: { name: "slow", arguments: { seconds } } },
    session,
  )

const of = (target: string) => (all: Reflection<MCPInstance>) =>
  [...all.items()].find(({ spec }) => spec.targetName === target)
const current = (target: string): MCPInstance => {
  const found = of(target)(instances)
  if (found === undefined) throw new Error(`no instance of ${target}`)
  return found
}
const isGone = ({ metadata }: MCPInstance, ms: number) =>
  waitFor(instances, (all) => (all.get(metadata.name)?.metadata.uid === metadata.uid ? undefined : true), ms, "its end")

/** Objects that belong to an instance, and are there. */
const children = async ({ metadata: { uid } }: MCPInstance): Promise<string[]> => {
  const lists: readonly (readonly KubeObject[])[] = await Promise.all([
    truth.list(podKind, { namespace }).then(({ items }) => items),
    truth.list(serviceKind, { namespace }).then(({ items }) => items),
    truth.list(secretKind, { namespace }).then(({ items }) => items),
  ])
  const isOwned = ({ metadata }: KubeObject) => metadata.ownerReferences?.some((owner) => owner.uid === uid) === true
  return lists.flatMap((items) => items.filter(isOwned).map(({ metadata }) => metadata.name))
}

describe.concurrent("an instance", { timeout: 300_000 }, () => {
  test("that nobody uses goes, with all that is its own, and not before its idle TTL; a call keeps it; the next request makes a new one", async () => {
    await makeTarget("idling", { idleTTL: "10s" })
    const session = await open("idling")
    const instance = current("idling")
    const called = await slow("idling", session, 20)
    expect(await called.text()).toContain("slept 20 seconds")
    const used = Date.now()
    expect(current("idling").metadata.uid).toBe(instance.metadata.uid)
    await isGone(instance, 120_000)
    // never before its TTL; a busy machine is late
    expect(Date.now() - used).toBeGreaterThan(10_000)
    await eventually(async () => (await children(instance)).length === 0, 60_000, "Pod, Service and Secret are gone")
    await open("idling")
    expect(current("idling").metadata.uid).not.toBe(instance.metadata.uid)
  })

  test("that reaches its maximum lifetime lets a call finish that was open, and the next request makes a new one", async () => {
    await makeTarget("ageing", { maxLifetime: "20s" })
    const session = await open("ageing")
    const instance = current("ageing")
    const born = Date.parse(instance.metadata.creationTimestamp ?? "")
    const seconds = Math.max(1, (born + 20_000 + drainMs / 2 - Date.now()) / 1_000)
    const called = await slow("ageing", session, seconds)
    expect(await called.text()).toContain("slept")
    await isGone(instance, 90_000)
    expect(Date.now() - born).toBeGreaterThan(20_000)
    await open("ageing")
    expect(current("ageing").metadata.uid).not.toBe(instance.metadata.uid)
  })

  test("that reaches its maximum lifetime ends a call that takes too long at the drain's deadline, and says so", async () => {
    await makeTarget("ending", { maxLifetime: "20s" })
    const session = await open("ending")
    const instance = current("ending")
    const begun = Date.parse(instance.metadata.creationTimestamp ?? "") + 20_000
    const text = await (await slow("ending", session, 100)).text()
    expect(text).toMatch(/"id":2,"error":.*"code":"UpstreamInterrupted"/)
    expect(Date.now()).toBeGreaterThan(begun + drainMs)
    expect(Date.now()).toBeLessThan(begun + drainMs + 40_000)
    await isGone(instance, 90_000)
    await open("ending")
  })
})
