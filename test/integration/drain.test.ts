import { afterEach, beforeEach, describe, expect, it } from "vitest"
import type { MCPTarget } from "../../src/api/mcp-target.ts"
import { createOperator } from "../../src/operator/controller.ts"
import { aroundWrites } from "../support/around-port.ts"
import { someSettings } from "../support/build/settings.ts"
import { beginsDrain } from "../support/collection-race.ts"
import { type OperatorWorld, operatorWorld } from "../support/operator-world.ts"
import { quietTelemetry } from "../support/quiet-telemetry.ts"
import { type GatewayHalf, startGatewayHalf, type Visit, visit } from "../support/visits.ts"

const namespace = "reflow"
/** How late the watch of the one gateway is. */
const lateMs = 20_000

let world: OperatorWorld
let target: MCPTarget
let prompt: GatewayHalf
let late: GatewayHalf
/** Called when a drain is about to be written. */
let onDrain: () => void
const closing: (() => Promise<void>)[] = []

beforeEach(async () => {
  world = operatorWorld()
  const { clock, cluster } = world
  target = await world.makeTarget({ spec: { maxLifetime: "5m" } })
  // as on a network: a write takes a while
  const far = aroundWrites(cluster, async (_write, run) => {
    await clock.sleep(200)
    return run()
  })
  const parts = { cluster: far, clock, namespace }
  const starting = Promise.all([
    startGatewayHalf({ ...parts, replica: "gw-prompt" }),
    startGatewayHalf({ ...parts, replica: "gw-late", lateMs }),
  ])
  await clock.advance(0)
  ;[prompt, late] = await starting
  onDrain = () => {}
  const watched = aroundWrites(cluster.client({ fieldManager: "reflow-operator" }), (write, run) => {
    if (beginsDrain(write)) onDrain()
    return run()
  })
  const operator = createOperator({ cluster: watched, clock, telemetry: quietTelemetry(), options: someSettings() })
  closing.push(operator.close, prompt.close, late.close)
  await clock.advance(0)
})
afterEach(async () => {
  const closed = Promise.all(closing.splice(0).map((close) => close()))
  await world.clock.advance(5_000)
  await closed
  await world.close()
})

const call = (gateway: GatewayHalf, callMs: number): Visit =>
  visit(gateway, { target, subject: "alice", callMs, truth: world.cluster, clock: world.clock })

/** Brings the instance up, and lets both gateways know it. Resolves with its name. */
const bringUp = async (): Promise<string> => {
  const first = [call(late, 0), call(prompt, 0)]
  await world.pass(30)
  for (const { placed, error } of first) expect(error ?? placed?.incarnation).toEqual(expect.any(String))
  return first[0]?.placed?.instance ?? ""
}

const stampNow = () => new Date(world.clock.now()).toISOString()

/** What begins each drain that no touch cancels. */
const causes = {
  "a restart": (name: string) => world.edit({ spec: { restartTime: stampNow() } }, name),
  "a changed spec": (name: string) => world.edit({ spec: { image: "ghcr.io/org/files:2" } }, name),
  "the maximum lifetime": () => world.pass(5 * 60 - 30),
}

describe.each(Object.entries(causes))("a drain for %s", (_cause, begin) => {
  it.each([1_000, 1_990, 2_010, 3_000, 55_000])(
    "waits for a call of %i ms that began just before it, at a gateway whose watch is 20 s late too",
    async (callMs) => {
      const name = await bringUp()
      const calls: Visit[] = []
      onDrain = () => {
        onDrain = () => {}
        calls.push(call(late, callMs))
      }
      await begin(name)
      await world.pass(90)
      expect(calls.map(({ lost, error, placed }) => lost ?? error ?? typeof placed)).toEqual(["object"])
    },
  )

  it("holds what comes meanwhile at the prompt gateway, and serves it by the next server", async () => {
    const name = await bringUp()
    const before = (await world.instance(name))?.status?.incarnation
    await begin(name)
    await world.pass(1)
    const next = call(prompt, 10)
    await world.pass(30)
    expect(next.error ?? next.lost).toBeUndefined()
    expect(next.placed?.incarnation).not.toBe(before)
  })
})
