import { expect, test } from "vitest"
import { createMemoryCluster } from "../../../../src/adapters/memory/cluster.ts"
import { systemClock as clock } from "../../../../src/adapters/system/clock.ts"
import type { ClusterPort } from "../../../../src/ports/cluster.ts"
import { answerOnceKept } from "../../../../src/roles/dev/state.ts"
import { quietTelemetry } from "../../../support/quiet-telemetry.ts"

/** What changes nothing that is kept: status is found out anew at each start. */
const unkept: ReadonlySet<string> = new Set([
  ...["get", "getManaged", "list", "watch", "podLogs", "streamLogs"],
  ...["patchStatus", "recordEvent", "close"],
])

test("every write that changes what is kept is answered only once it is on the disk", async () => {
  const memory = createMemoryCluster({ clock, telemetry: quietTelemetry() })
  const calls = Object.keys(memory.client({ fieldManager: "reflow-gateway" }))
  await memory.close()
  const answering = Object.fromEntries(calls.map((call) => [call, async () => call]))
  const cluster = answerOnceKept(answering as unknown as ClusterPort, { settled: () => new Promise(() => {}) })
  const answered = new Set<string>()
  for (const [call, ask] of Object.entries(cluster as unknown as Record<string, () => Promise<string>>))
    void ask().then(() => answered.add(call))
  await new Promise((resolve) => setImmediate(resolve))
  expect(answered).toEqual(unkept)
})
