import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { leaseKind } from "../../src/api/kinds/kubernetes.ts"
import type { MCPTarget } from "../../src/api/kinds/mcp-target.ts"
import { presenceKey } from "../../src/signals/presence.ts"
import { someSettings } from "../support/build/settings.ts"
import { beginsDrain } from "../support/collection-race.ts"
import type { OperatorWorld } from "../support/operator-world.ts"
import { lease, namespace, startTwoGateways } from "../support/two-gateways.ts"
import { type GatewayHalf, startGatewayHalf, type Visit, visit } from "../support/visits.ts"

let world: OperatorWorld
let target: MCPTarget
let prompt: GatewayHalf
let late: GatewayHalf
let close: () => Promise<void>
/** Called when a drain is about to be written. */
let onDrain: () => void
/** When the first drain was about to be written, and when what it was for was done. */
let drained: { from: number; to: number }

beforeEach(async () => {
  onDrain = () => {}
  drained = { from: Number.NaN, to: Number.NaN }
  ;({ world, target, prompt, late, close } = await startTwoGateways({
    spec: { maxLifetime: "5m" },
    settings: someSettings(),
    onWrite: (write, now) => {
      if (beginsDrain(write)) {
        drained.from ||= now
        onDrain()
      } else if (write.verb === "delete" && ["MCPInstance", "Pod"].includes(write.kind)) drained.to ||= now
    },
  }))
})
afterEach(() => close())

const call = (gateway: GatewayHalf, callMs: number): Visit =>
  visit(gateway, { target, subject: "alice", callMs, truth: world.cluster, clock: world.clock })

/** Brings the instance up, and lets both gateways know it. Resolves with its name. */
const bringUp = async (): Promise<string> => {
  const first = [call(late, 0), call(prompt, 0)]
  await world.pass(30)
  for (const { placed, error } of first) expect(error ?? placed?.incarnation).toEqual(expect.any(String))
  return first[0]?.placed?.instance ?? ""
}

/** Ends a gateway in order. */
const leave = async (gateway: GatewayHalf): Promise<void> => {
  const left = gateway.close()
  await world.pass(2)
  await left
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
    await world.pass(40)
    expect(next.error ?? next.lost).toBeUndefined()
    expect(next.placed?.incarnation).not.toBe(before)
  })

  it.each([
    ["short", [0, 240]],
    // the answer to the first of its own writes shows the late gateway the drain
    ["short and long", [0, 240, 1_700, 9_000]],
  ] as const)(
    "cuts none of the %s calls that the gateway whose watch is late begins meanwhile, whenever",
    async (_which, lengths) => {
      const name = await bringUp()
      const calls: Visit[] = []
      onDrain = () => {
        onDrain = () => {}
        // not more than one caller's share of the places to wait for an instance
        for (let ms = 0; ms <= 21_000; ms += 400)
          for (const callMs of lengths) world.clock.timer(ms, () => void calls.push(call(late, callMs)))
      }
      await begin(name)
      await world.pass(120)
      const outcomes = calls.map(({ lost, error, placed }) => lost ?? error ?? typeof placed)
      expect(outcomes).toEqual(Array.from({ length: 53 * lengths.length }, () => "object"))
    },
  )

  it("takes two seconds if all gateways are prompt, and leaves nothing behind", async () => {
    const name = await bringUp()
    await leave(late)
    await begin(name)
    await world.pass(40)
    expect(drained.to - drained.from).toBeGreaterThanOrEqual(2_000)
    expect(drained.to - drained.from).toBeLessThan(2_100)
    expect((await world.instance(name))?.status?.drainSeenBy).toBeUndefined()
  })
})

describe("a drain that nothing cancels", () => {
  const restart = async (name: string) => {
    await causes["a restart"](name)
    await world.pass(60)
    return drained.to - drained.from
  }

  it("takes two seconds if no gateway lives", async () => {
    const name = await bringUp()
    await leave(late)
    await leave(prompt)
    expect(await restart(name)).toBe(2_000)
  })

  it("waits thirty seconds at most for a gateway that died without a word", async () => {
    await world.cluster.mergePatch(leaseKind, lease, { metadata: { annotations: { [presenceKey("gw-dead")]: "now" } } })
    await world.pass(1)
    const name = await bringUp()
    await leave(late)
    drained = { from: Number.NaN, to: Number.NaN }
    // told 31 s ago: it is taken for dead 9 s later
    const took = await restart(name)
    expect(took).toBeGreaterThan(2_000)
    expect(took).toBeLessThan(10_000)
  })

  it("waits for a gateway that came while it went on", async () => {
    const name = await bringUp()
    await leave(late)
    await causes["a restart"](name)
    await world.pass(1)
    const { clock, cluster } = world
    const newcomer = await startGatewayHalf({ cluster, clock, namespace, lease, replica: "gw-new" })
    const closeBefore = close
    close = async () => {
      const closed = newcomer.close()
      await closeBefore()
      await closed
    }
    await world.pass(30)
    expect(drained.to - drained.from).toBeLessThan(2_500)
    expect(call(newcomer, 10).lost).toBeUndefined()
  })

  it("goes on without a gateway that takes leave meanwhile", async () => {
    const name = await bringUp()
    await causes["a restart"](name)
    await world.pass(5)
    expect(drained.to).toBeNaN()
    await leave(late)
    await world.pass(1)
    expect(drained.to - drained.from).toBeLessThan(9_000)
  })
})
