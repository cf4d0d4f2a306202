import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { startSteps } from "../../src/signals/start.ts"
import { podStatus } from "../support/build/pod.ts"
import { starting } from "../support/fake-kubelet.ts"
import { type OperatorWorld, operatorWorld } from "../support/operator-world.ts"

let world: OperatorWorld

beforeEach(() => {
  world = operatorWorld()
})
afterEach(() => world.close())

const lines = async (): Promise<readonly string[]> => (await world.metrics()).split("\n")
/** Value of one series, written as Prometheus does. */
const value = async (series: string): Promise<number | undefined> => {
  const found = (await lines()).find((line) => line.startsWith(`${series} `))
  return found === undefined ? undefined : Number(found.slice(series.length + 1))
}

/** How many reconciles of instances there were. */
const reconciles = () => value('controller_runtime_reconcile_time_seconds_count{controller="mcpinstance"}')

describe("what the operator measures", () => {
  it("instances by phase, as they are now", async () => {
    await world.start()
    await world.make()
    await world.pass(5)
    expect(await value('reflow_instances{phase="Ready"}')).toBe(1)
    for (const phase of ["Queued", "Pending", "Starting", "Draining", "Failed"])
      expect(await value(`reflow_instances{phase="${phase}"}`), phase).toBe(0)
  })

  it("each step of a start, once for each start", async () => {
    await world.start()
    await world.make()
    await world.pass(60)
    // the server is no package
    for (const step of startSteps)
      expect(await value(`reflow_instance_start_seconds_count{step="${step}"}`), step).toBe(
        step === "install" ? undefined : 1,
      )
  })

  it("queues and reconciles under the names of controller-runtime", async () => {
    await world.start()
    await world.make()
    await world.pass(5)
    for (const name of ["mcpinstance", "mcptarget"]) {
      for (const metric of [
        "workqueue_adds_total",
        "workqueue_queue_duration_seconds_count",
        "workqueue_work_duration_seconds_count",
      ])
        expect(await value(`${metric}{name="${name}"}`), metric).toBeGreaterThan(0)
      expect(await value(`workqueue_depth{name="${name}"}`)).toBe(0)
      expect(await value(`controller_runtime_active_workers{controller="${name}"}`)).toBe(0)
      expect(await value(`controller_runtime_reconcile_time_seconds_count{controller="${name}"}`)).toBeGreaterThan(0)
    }
    expect(await value('controller_runtime_max_concurrent_reconciles{controller="mcpinstance"}')).toBe(10)
    expect(
      await value('controller_runtime_reconcile_total{controller="mcpinstance",result="requeue_after"}'),
    ).toBeGreaterThan(0)
  })

  it("a reconcile of an instance that nothing happens to: within ten gc_intervals, and not in the first five", async () => {
    await world.start()
    await world.make({ spec: { idleTTL: "10h" } })
    await world.pass(60)
    const before = await reconciles()
    await world.pass(4 * 60)
    expect(await reconciles()).toBe(before)
    await world.pass(6 * 60)
    expect(await reconciles()).toBeGreaterThan(before ?? 0)
  })

  it("reconciles of all instances within a minute after the clock was set", async () => {
    await world.start()
    await world.make({ spec: { idleTTL: "10h" } })
    await world.pass(60)
    const before = await reconciles()
    world.clock.skew(60 * 60_000)
    await world.pass(60)
    expect(await reconciles()).toBeGreaterThan(before ?? 0)
  })

  it("reconciles that fail, and what is tried again", async () => {
    await world.start(
      {},
      {
        call: (call, run) => {
          if (call.verb === "create" && call.kind === "Service") throw new Error("no")
          return run()
        },
      },
    )
    await world.make()
    await world.pass(5)
    const own = '{controller="mcpinstance"}'
    expect(await value(`controller_runtime_reconcile_errors_total${own}`)).toBeGreaterThan(1)
    expect(await value('workqueue_retries_total{name="mcpinstance"}')).toBeGreaterThan(1)
    expect(await value('controller_runtime_reconcile_total{controller="mcpinstance",result="error"}')).toBeGreaterThan(
      1,
    )
  })

  it("no instances any more once it is closed: another one follows them now", async () => {
    const operator = await world.start()
    await world.make()
    await world.pass(5)
    await operator.close()
    expect(await value('reflow_instances{phase="Ready"}')).toBe(0)
  })
})

describe("an operator whose work hangs", () => {
  it("is not alive after ten minutes", async () => {
    const hung = Promise.withResolvers<never>()
    const operator = await world.start(
      {},
      {
        call: (call, run) => (call.verb === "create" && call.kind === "Service" ? hung.promise : run()),
      },
    )
    await world.make()
    await world.pass(595)
    expect(operator.isAlive()).toBe(true)
    await world.pass(10)
    expect(operator.isAlive()).toBe(false)
    hung.reject(new Error("ended"))
    await world.pass(0)
    expect(operator.isAlive()).toBe(true)
  })
})

describe("Events", () => {
  const warnings = async () => (await world.events()).filter(({ type }) => type === "Warning")

  it("tell once that no node can take the Pod, however often the scheduler says it", async () => {
    const unschedulable = (message: string) => ({
      phase: "Pending" as const,
      conditions: [{ type: "PodScheduled", status: "False", reason: "Unschedulable", message }],
    })
    world.kubelet.play([{ afterMs: 10, status: () => unschedulable("0/3 nodes are available.") }])
    await world.start()
    await world.make()
    await world.pass(5)
    const [pod] = await world.pods()
    await world.kubelet.set(pod?.metadata.name ?? "", unschedulable("0/4 nodes are available."))
    await world.pass(60)
    expect(await warnings()).toMatchObject([{ reason: "Unschedulable", message: expect.stringContaining("0/3 nodes") }])
  })

  it("tell once that nothing listens on the port", async () => {
    world.kubelet.play([{ afterMs: 100, status: starting }])
    await world.start()
    await world.make()
    await world.pass(1)
    const [pod] = await world.pods()
    if (pod === undefined) throw new Error("no Pod")
    const note = "Startup probe failed: dial tcp 10.1.2.3:8080: connect: connection refused"
    await world.cluster.recordEvent({ regarding: pod, type: "Warning", reason: "Unhealthy", note })
    await world.pass(120)
    const own = (await warnings()).filter(({ reason }) => reason !== "Unhealthy")
    expect(own).toMatchObject([{ reason: "PortClosed", message: expect.stringContaining("Nothing listens on port") }])
  })

  it("tell each transition of a start once, and a crash that goes on and on once", async () => {
    const terminated = { exitCode: 3 }
    world.kubelet.play([
      { afterMs: 100, status: () => podStatus({ state: { terminated } }) },
      {
        afterMs: 3_000,
        status: (now) =>
          podStatus({ restartCount: 1, state: { running: { startedAt: now } }, lastState: { terminated } }),
      },
      {
        afterMs: 6_000,
        status: () => podStatus({ restartCount: 1, state: { terminated }, lastState: { terminated } }),
      },
    ])
    await world.start()
    await world.make()
    await world.pass(30)
    const told = (await world.events()).map(({ reason, count }) => `${reason} ${count}`)
    expect(told.toSorted()).toEqual(["CrashLoop 1", "PodCreated 1"])
  })
})
