import { expect, test } from "vitest"
import { createMemoryCluster } from "../../../../src/adapters/memory/cluster.ts"
import { createPodReport, type NodeDeps } from "../../../../src/adapters/process/pod-report.ts"
import { createPorts } from "../../../../src/adapters/process/ports.ts"
import { firstView, toWaiting } from "../../../../src/adapters/process/status.ts"
import { systemClock } from "../../../../src/adapters/system/clock.ts"
import { type Pod, podKind } from "../../../../src/api/kinds/pod.ts"
import { eventually } from "../../../support/processes.ts"
import { quietTelemetry } from "../../../support/quiet-telemetry.ts"

/** A reporter on a cluster whose status writes wait until `release` is called. */
const reporter = async () => {
  const telemetry = quietTelemetry()
  let open = Promise.withResolvers<void>()
  let writing = 0
  let mostWriting = 0
  const written: string[] = []
  const cluster = createMemoryCluster({
    clock: systemClock,
    telemetry,
    intercept: {
      call: async (call, run) => {
        if (call.verb !== "patchStatus") return run()
        mostWriting = Math.max(mostWriting, ++writing)
        await open.promise
        try {
          return await run()
        } finally {
          writing--
          const pod = await cluster.get(podKind, { namespace: "n", name: "p" })
          written.push(pod?.status?.containerStatuses?.[0]?.state?.waiting?.reason ?? "")
        }
      },
    },
  })
  const pod = await cluster.create<Pod>(podKind, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p", namespace: "n" },
    spec: { containers: [{ name: "mcp", image: "i" }] },
  })
  const deps: NodeDeps = {
    ...{ cluster, clock: systemClock, log: telemetry.log, nodeName: "local", ports: createPorts() },
    ...{ baseEnvironment: {}, workingDirectory: "/", hide: async (text: string) => text },
  }
  const server = { container: { name: "mcp", image: "i" }, view: firstView("ContainerCreating") }
  const signal = new AbortController().signal
  const report = createPodReport(deps, pod, { server, inits: [] }, { ...deps, signal })
  const show = (reason: string) => {
    server.view = toWaiting(server.view, reason)
    report.show()
  }
  const release = () => {
    open.resolve()
    open = Promise.withResolvers()
  }
  return { show, release, written, mostWriting: () => mostWriting, close: () => cluster.close() }
}

test("of states that come during a write only the newest is written, after it", async () => {
  const { show, release, written, mostWriting, close } = await reporter()
  for (const reason of ["One", "Two", "Three"]) show(reason)
  release()
  await eventually(() => written.length === 1, 1_000, "the first write")
  release()
  await eventually(() => written.length === 2, 1_000, "the second write")
  expect(written).toEqual(["One", "Three"])
  expect(mostWriting()).toBe(1)
  await close()
})

test("a state that is the same as the one before is not written, and the next one is", async () => {
  const { show, release, written, close } = await reporter()
  show("One")
  release()
  await eventually(() => written.length === 1, 1_000, "the first write")
  show("One")
  show("Two")
  release()
  await eventually(() => written.length === 2, 1_000, "the second write")
  expect(written).toEqual(["One", "Two"])
  await close()
})
