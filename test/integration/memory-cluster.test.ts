import { createMemoryCluster } from "../../src/adapters/memory/cluster.ts"
import { systemClock } from "../../src/adapters/system/clock.ts"
import { describeClusterContract } from "../support/contracts/cluster.ts"
import { quietTelemetry } from "../support/quiet-telemetry.ts"

describeClusterContract("the embedded cluster", async () => {
  const cluster = createMemoryCluster({ clock: systemClock, telemetry: quietTelemetry(), fieldManager: "one" })
  return { cluster, other: cluster.client({ fieldManager: "two" }), namespace: "contract", close: cluster.close }
})
