import { afterEach, beforeEach, describe, expect, test } from "vitest"
import type { Intercept } from "../../../../src/adapters/memory/client.ts"
import { createMemoryCluster, type MemoryCluster } from "../../../../src/adapters/memory/cluster.ts"
import { leaseKind } from "../../../../src/api/kinds/kubernetes.ts"
import { announcePresence, type Presence } from "../../../../src/placement/use/presence.ts"
import { presenceKey, presencesIn } from "../../../../src/signals/presence.ts"
import { type FakeClock, fakeClock } from "../../../support/fake-clock.ts"
import { quietTelemetry } from "../../../support/quiet-telemetry.ts"

const lease = { namespace: "reflow-system", name: "reflow-gateways" }

let clock: FakeClock
let cluster: MemoryCluster
/** What becomes of a call; default: it is made. */
let call: NonNullable<Intercept["call"]>
const { log, lines } = quietTelemetry()
const open: Presence[] = []

beforeEach(() => {
  clock = fakeClock()
  cluster = createMemoryCluster({ clock, telemetry: quietTelemetry() })
  call = (_call, run) => run()
  lines.length = 0
})
afterEach(async () => {
  await Promise.all(open.splice(0).map((each) => each.close()))
  await cluster.close()
})

const announce = async (replica: string): Promise<Presence> => {
  const client = cluster.client({ fieldManager: "reflow-gateway", intercept: { call: (made, run) => call(made, run) } })
  const presence = await announcePresence({ cluster: client, clock, log, lease, replica }, new AbortController().signal)
  open.push(presence)
  return presence
}
const present = async () => {
  const found = await cluster.get(leaseKind, lease)
  return found === undefined ? undefined : Object.fromEntries(presencesIn(found))
}
const stamp = () => new Date(clock.now()).toISOString()

describe("a gateway's word that it lives", () => {
  test("is there when it is announced, renewed every ten seconds, and taken back at the end", async () => {
    const a = await announce("gw-a")
    await announce("gw-b")
    const first = stamp()
    expect(await present()).toEqual({ "gw-a": first, "gw-b": first })
    await clock.advance(10_000)
    expect(await present()).toEqual({ "gw-a": stamp(), "gw-b": stamp() })
    await a.close()
    expect(Object.keys((await present()) ?? {})).toEqual(["gw-b"])
  })

  test("is not given while the API server refuses it", async () => {
    call = () => Promise.reject(new Error("away"))
    await expect(announce("gw-a")).rejects.toThrow("away")
  })

  test("is renewed again after failures, which are logged once", async () => {
    await announce("gw-a")
    call = () => Promise.reject(new Error("away"))
    await clock.advance(30_000)
    expect(lines.map(({ level }) => level)).toEqual(["warn"])
    call = (_call, run) => run()
    await clock.advance(2_000)
    expect(await present()).toEqual({ "gw-a": stamp() })
  })

  test("survives that somebody deletes the Lease", async () => {
    await announce("gw-a")
    await cluster.delete(leaseKind, lease)
    await clock.advance(10_000)
    expect(await present()).toEqual({ "gw-a": stamp() })
  })

  test("ends within two seconds even if the API server does not answer", async () => {
    const a = await announce("gw-a")
    call = (_call, _run) => new Promise(() => {})
    const closed = a.close()
    let isClosed = false
    void closed.then(() => {
      isClosed = true
    })
    await clock.advance(2_000)
    expect(isClosed).toBe(true)
    call = (_call, run) => run()
  })

  test("that a killed gateway left is removed by the others after ten minutes", async () => {
    await announce("gw-a")
    await cluster.mergePatch(leaseKind, lease, { metadata: { annotations: { [presenceKey("gw-killed")]: "once" } } })
    await clock.advance(10 * 60_000)
    expect(await present()).toHaveProperty("gw-killed")
    await clock.advance(30_000)
    expect(await present()).toEqual({ "gw-a": stamp() })
  })
})
