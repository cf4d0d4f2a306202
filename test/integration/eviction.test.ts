/** At the limit the instance that was used least recently makes room. Whoever uses it in that moment loses nothing. */
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import type { MCPTarget } from "../../src/api/kinds/mcp-target.ts"
import { someSettings } from "../support/build/settings.ts"
import { beginsDrain } from "../support/collection-race.ts"
import type { OperatorWorld } from "../support/operator-world.ts"
import { startTwoGateways } from "../support/two-gateways.ts"
import { type GatewayHalf, type Visit, visit } from "../support/visits.ts"

let world: OperatorWorld
let target: MCPTarget
let prompt: GatewayHalf
let late: GatewayHalf
let close: () => Promise<void>
/** Called when a drain is about to be written. */
let onDrain: () => void
let evictions: number

beforeEach(async () => {
  onDrain = () => {}
  evictions = 0
  ;({ world, target, prompt, late, close } = await startTwoGateways({
    spec: { idleTTL: "30m" },
    // room for one
    settings: someSettings({ max_instances: 1 }),
    onWrite: (write) => {
      if (!beginsDrain(write)) return
      evictions++
      onDrain()
    },
  }))
})
afterEach(() => close())

const call = (gateway: GatewayHalf, subject: string, callMs: number): Visit =>
  visit(gateway, { target, subject, callMs, truth: world.cluster, clock: world.clock })
const outcome = ({ lost, error, placed }: Visit) => lost ?? error ?? typeof placed

/** Alice uses the only place, both gateways know it, and then she does nothing for so long. */
const settle = async (idleSeconds: number): Promise<void> => {
  const first = [call(late, "alice", 0), call(prompt, "alice", 0)]
  await world.pass(30)
  expect(first.map(outcome)).toEqual(["object", "object"])
  await world.pass(idleSeconds)
}

/** When Alice's gateway, whose watch is late, sends what: milliseconds after the eviction was about to be written. */
const barrages = {
  "one short call in that moment": { moments: [0], lengths: [0] },
  "one long call in that moment": { moments: [0], lengths: [55_000] },
  "one call as its caller learns of the drain": { moments: [1_990, 2_010], lengths: [300] },
  "one short call ten seconds later": { moments: [10_000], lengths: [100] },
  "short calls all the time": { moments: Array.from({ length: 85 }, (_, index) => index * 250), lengths: [0, 240] },
  "short and long calls all the time": {
    moments: Array.from({ length: 43 }, (_, index) => index * 500),
    lengths: [240, 1_700, 9_000],
  },
}

describe("an eviction for somebody who waits", () => {
  it.each(Object.entries(barrages))(
    "loses no call of a gateway whose watch is 20 s late: %s",
    async (_what, { moments, lengths }) => {
      await settle(120)
      const calls: Visit[] = []
      onDrain = () => {
        onDrain = () => {}
        for (const ms of moments)
          for (const callMs of lengths) world.clock.timer(ms, () => void calls.push(call(late, "alice", callMs)))
      }
      const bob = call(prompt, "bob", 10)
      await world.pass(180)
      expect(evictions).toBeGreaterThan(0)
      expect(calls).toHaveLength(moments.length * lengths.length)
      const lost = calls.map(outcome).filter((each) => each !== "object")
      // who lost the place and comes back may wait for one as everybody else, but never loses a call that was sent
      for (const each of lost) expect(each).toMatchObject({ code: "CapacityExceeded" })
      expect(bob.lost).toBeUndefined()
    },
  )

  it("goes through if nobody else comes, and serves who waits", async () => {
    await settle(120)
    const bob = call(prompt, "bob", 10)
    await world.pass(40)
    expect(evictions).toBe(1)
    expect(outcome(bob)).toBe("object")
  })

  it("is not begun while the instance was used a moment ago", async () => {
    await settle(0)
    call(late, "alice", 0)
    const bob = call(prompt, "bob", 10)
    await world.pass(46)
    expect(evictions).toBe(0)
    expect(bob.error).toMatchObject({ code: "CapacityExceeded" })
  })
})
