/** Faults that take their real time, side by side: a minute and a half also of a short soak. */
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, describe, expect, test } from "vitest"
import { openCluster, readServer } from "../kubernetes/support/cluster.ts"
import { type Relay, startRelay } from "../kubernetes/support/relay.ts"
import { makeInstallation } from "../kubernetes/support/role.ts"
import { survive } from "../kubernetes/support/survive.ts"

const relays: Relay[] = []
afterAll(() => Promise.all(relays.map((relay) => relay.close())))

/** Somebody whose way to the API server is a relay, in a namespace where nobody else changes anything. */
const begin = async (prefix: string) => {
  const place = await makeInstallation(prefix)
  const relay = await startRelay((await readServer()).server)
  relays.push(relay)
  return { place, relay, truth: openCluster("truth") }
}

describe.concurrent("a reflection of a changing cluster loses and doubles nothing", { timeout: 180_000 }, () => {
  test("when the API server is gone for 30 s; it is caught up within 5 s of its return", async () => {
    const { relay, ...who } = await begin("gone")
    const act = async () => {
      await relay.leave()
      await sleep(30_000)
      await relay.comeBack()
    }
    await survive({ ...who, way: relay, act, withinMs: 5_000 })
  })

  test("when its connection dies without a word, which it notices within 80 s", async () => {
    const { relay, ...who } = await begin("half-open")
    const opened = relay.opened
    const act = async () => {
      relay.stall()
      await sleep(5_000)
    }
    await survive({ ...who, way: relay, act, withinMs: 75_000 })
    expect(relay.opened, "it is connected anew").toBeGreaterThan(opened)
  })
})
