/** Which calls the start of a gateway makes at once, and which must wait for each other. */
import { randomBytes } from "node:crypto"
import { setTimeout as sleep } from "node:timers/promises"
import { expect, test } from "vitest"
import type { Call, Intercept } from "../../src/adapters/memory/client.ts"
import { createMemoryCluster } from "../../src/adapters/memory/cluster.ts"
import { systemClock as clock } from "../../src/adapters/system/clock.ts"
import { startFront } from "../../src/roles/front.ts"
import { createOutgoing } from "../../src/roles/outgoing.ts"
import { loadPlugins } from "../../src/roles/plugins.ts"
import { createStarted } from "../../src/roles/role.ts"
import { configOf } from "../support/fronts.ts"
import { quietTelemetry } from "../support/quiet-telemetry.ts"

const namespace = "reflow"

/** Starts a front whose calls pass `intercept`, while its static tokens are read by `tokens`; ends it again. */
const start = async (intercept: Intercept, tokens: () => Promise<[]> = async () => []): Promise<void> => {
  const telemetry = quietTelemetry()
  const started = createStarted(() => {})
  const cluster = createMemoryCluster({ clock, telemetry })
  const config = configOf({})
  try {
    await startFront({
      cluster: cluster.client({ fieldManager: "reflow-gateway", intercept }),
      clock,
      telemetry,
      config,
      publicUrl: "http://localhost",
      anyHost: true,
      ownNamespace: namespace,
      tokens: tokens(),
      plugins: await loadPlugins({ config, clock, telemetry }),
      outgoing: createOutgoing({ config, telemetry, role: "dev" }),
      devKey: randomBytes(32),
      started,
      signal: new AbortController().signal,
    })
  } finally {
    await started.close()
    await cluster.close()
  }
}

test("a gateway reads session keys and tokens while its announcement is under way, and does not wait for the answer", {
  timeout: 10_000,
}, async () => {
  const keysAsked = Promise.withResolvers<void>()
  const tokensRead = Promise.withResolvers<[]>()
  const call: NonNullable<Intercept["call"]> = async ({ kind }, run) => {
    // the announcement is answered after the keys are asked for; the tokens are read after the announcement
    if (kind === "Lease") await keysAsked.promise
    const answer = await run()
    if (kind === "Secret") keysAsked.resolve()
    if (kind === "Lease") tokensRead.resolve([])
    return answer
  }
  await start({ call }, () => tokensRead.promise)
})

test("a gateway lists the instances after its announcement, so that a drain either waits for it or is in the list", async () => {
  const calls: string[] = []
  const call: NonNullable<Intercept["call"]> = async ({ kind, verb }: Call, run) => {
    if (kind === "Lease") await sleep(50)
    const answer = await run()
    if (kind === "Lease" || kind === "MCPInstance") calls.push(`${verb} ${kind}`)
    return answer
  }
  await start({ call })
  const announced = calls.findLastIndex(
    (each, index) => each.endsWith("Lease") && index < calls.indexOf("list MCPInstance"),
  )
  expect(calls).toContain("list MCPInstance")
  expect(announced).toBeGreaterThanOrEqual(0)
})
