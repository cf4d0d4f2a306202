import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { systemClock } from "../../src/adapters/system/clock.ts"
import { controllerUID, findCondition } from "../../src/api/kinds/kind.ts"
import { type MCPInstance, mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import { type MCPTarget, mcpTargetKind } from "../../src/api/kinds/mcp-target.ts"
import { podKind } from "../../src/api/kinds/pod.ts"
import { hasCode } from "../../src/errors.ts"
import { createOperator } from "../../src/operator/controller.ts"
import { probe } from "../../src/placement/know/probe.ts"
import type { Reflection } from "../../src/ports/cluster.ts"
import { someSettings } from "../support/build/settings.ts"
import { instanceOf, targetOf } from "../support/contracts/objects.ts"
import { eventually } from "../support/processes.ts"
import { quietTelemetry } from "../support/quiet-telemetry.ts"
import { startGatewayHalf, visit } from "../support/visits.ts"
import { cluster, openCluster, waitFor } from "./support/cluster.ts"
import { ensureImages } from "./support/images.ts"
import { makeInstallation, startRole } from "./support/role.ts"
import { answeringPods, unscheduled } from "./support/unscheduled.ts"

const clock = systemClock
const closing: (() => Promise<void>)[] = []

beforeAll(async () => {
  await ensureImages(["dice"], cluster)
}, 300_000)
afterAll(async () => {
  await Promise.all(closing.map((close) => close()))
})

/** The most instances that had Pods at once, Terminating ones included, as the watch tells. */
const countHolders = async (namespace: string) => {
  const pods = openCluster("test").watch(podKind, { namespace })
  const holders = () => new Set([...pods.items()].map((pod) => controllerUID(pod))).size
  let most = 0
  let seen = 0
  pods.subscribe(({ type }) => {
    most = Math.max(most, holders())
    if (type === "added") seen += 1
  })
  await pods.synced
  return { now: holders, most: () => most, pods: () => seen }
}

/** A small server for each user, which is idle after ten seconds. */
const dice = (namespace: string): MCPTarget =>
  targetOf(
    { namespace, name: "dice" },
    {
      image: "ghcr.io/reflow/example-dice:1.0.0",
      isolationBoundary: "per_user",
      idleTTL: "10s",
      resources: { requests: { cpu: "10m", memory: "16Mi" }, limits: { cpu: "500m", memory: "128Mi" } },
    },
  )

describe.concurrent("max_instances", { timeout: 400_000 }, () => {
  test("of 20 is never exceeded by 60 users who come at once, nor by a change of the leader; who has no place is told 429, or served later", async () => {
    const place = await makeInstallation("limit")
    const namespace = place.instances
    const truth = openCluster("test")
    const target = await truth.create(mcpTargetKind, dice(namespace))
    const holders = await countHolders(namespace)
    const set = { "kubernetes.max_instances": "20" }
    const kubeconfig = await place.kubeconfig("operator")
    const first = startRole("operator", { kubeconfig, namespace, set, until: "file" })
    await first.line("leading")
    const second = startRole("operator", { kubeconfig, namespace, set, until: "file" })
    await eventually(async () => (await second.probe("/readyz")).status === 200, 30_000, "the standby is ready")
    const gateway = await startGatewayHalf({
      cluster: openCluster("reflow-gateway", { kubeconfig: await place.kubeconfig("gateway") }),
      clock,
      namespace,
      replica: "gw-0",
      options: { hold_timeout: 120_000, max_instances: 20 },
      probe,
    })
    closing.push(gateway.close)
    const visits = Array.from({ length: 60 }, (_, index) =>
      visit(gateway, { target, subject: `user-${index}`, callMs: 500, truth, clock }),
    )
    await eventually(() => holders.now() >= 5, 120_000, "the first five have a Pod")
    first.process.kill("SIGTERM")
    await second.line("leading", 60_000)
    await Promise.all(visits.map(({ over }) => over))
    expect(holders.most()).toBe(20)
    const served = visits.filter(({ placed }) => placed !== undefined)
    expect(served.filter(({ lost }) => lost !== undefined)).toEqual([])
    expect(served.length).toBeGreaterThanOrEqual(20)
    const refused = visits.flatMap(({ error }) => (error === undefined ? [] : [error]))
    expect(served.length + refused.length).toBe(60)
    // twenty have a place, twenty may wait for one
    expect(refused.length).toBeGreaterThanOrEqual(20)
    for (const error of refused) {
      expect(error).toMatchObject({ code: "CapacityExceeded" })
      expect(hasCode(error, "CapacityExceeded") && error.retryAfterSeconds).toBeGreaterThan(0)
    }
  })

  test("lets in whoever waits in the order they came, and drains for them the one that was used least recently", async () => {
    const place = await makeInstallation("queue")
    const namespace = place.instances
    const truth = openCluster("test")
    await answeringPods(truth, namespace)
    const holders = await countHolders(namespace)
    const instances = truth.watch(mcpInstanceKind, { namespace })
    await instances.synced
    const operator = createOperator({
      cluster: unscheduled(openCluster("reflow-operator", { kubeconfig: await place.kubeconfig("operator") })),
      clock,
      telemetry: quietTelemetry(),
      options: someSettings({ namespace, max_instances: 2 }),
    })
    closing.push(operator.close)
    await operator.ready
    const make = (name: string) =>
      truth.create(mcpInstanceKind, instanceOf({ namespace, name }, { subjectKey: `user:${name}` }))
    const touch = (name: string, status: Readonly<Record<string, unknown>>) =>
      truth.patchStatus(mcpInstanceKind, { namespace, name }, { status })
    const reaches = (name: string, is: (instance: MCPInstance) => boolean, ms: number) => {
      const find = (all: Reflection<MCPInstance>) =>
        [...all.items()].find((each) => each.metadata.name === name && is(each))
      return waitFor(instances, find, ms, name)
    }
    const isReady = ({ status }: MCPInstance) => status?.phase === "Ready"
    const isQueued = ({ status }: MCPInstance) =>
      findCondition(status?.conditions, "Admitted")?.reason === "MaxInstancesReached"

    for (const name of ["used", "unused"]) {
      await make(name)
      await reaches(name, isReady, 30_000)
    }
    const begun = Date.now()
    // names tell nothing of the order, and stamps of one second cannot
    for (const name of ["z-early", "a-late"]) {
      await make(name)
      await reaches(name, isQueued, 30_000)
      await touch(name, { inUseBy: { "gw-0": "waiting" } })
      await new Promise((resolve) => setTimeout(resolve, 1_100))
    }
    // goes on being used, so that it is not the next one that has been idle for a minute
    const use = () => touch("used", { lastUsedTime: new Date().toISOString() })
    await use()
    const using = setInterval(() => void use().catch(() => {}), 10_000)
    await reaches("z-early", isReady, 90_000).finally(() => clearInterval(using))
    expect(Date.now() - begun).toBeGreaterThan(50_000)
    expect(instances.get("unused")).toBeUndefined()
    expect(instances.get("used")).toBeDefined()
    expect(instances.get("a-late")).toSatisfy(isQueued)
    expect(holders.most()).toBe(2)
  })
})
