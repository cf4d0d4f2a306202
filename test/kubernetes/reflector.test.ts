import { afterAll, beforeAll, describe, expect, test } from "vitest"
import type { KubeCluster } from "../../src/adapters/kube/cluster.ts"
import { systemClock } from "../../src/adapters/system/clock.ts"
import type { KubeObject } from "../../src/api/kinds/kind.ts"
import { serviceKind } from "../../src/api/kinds/kubernetes.ts"
import { mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import { mcpTargetKind } from "../../src/api/kinds/mcp-target.ts"
import { createOperator } from "../../src/operator/controller.ts"
import type { Reflection } from "../../src/ports/cluster.ts"
import type { TelemetryPort } from "../../src/ports/telemetry.ts"
import { createTelemetry } from "../../src/telemetry/telemetry.ts"
import { someSettings } from "../support/build/settings.ts"
import { instanceOf, targetOf } from "../support/contracts/objects.ts"
import { eventually } from "../support/processes.ts"
import { quietTelemetry } from "../support/quiet-telemetry.ts"
import { type OpenOptions, openCluster, readServer } from "./support/cluster.ts"
import { type Front, startFront } from "./support/front.ts"
import { type Relay, startRelay } from "./support/relay.ts"
import { type Installation, makeInstallation } from "./support/role.ts"
import { survive, type Trial } from "./support/survive.ts"

/** REFLOW_SOAK takes the real times: an API server that is gone for 30 s, a dead watch that is noticed after 75 s. */
const isSoak = process.env.REFLOW_SOAK !== undefined
const outageMs = isSoak ? 30_000 : 8_000
const silenceLimitMs = isSoak ? 75_000 : 3_000
/** After the API server is back, everything is known again within this time. */
const recoveryMs = 5_000
/** How long a call to the API server may take before it is sent again (src/adapters/kube). */
const callDeadlineMs = 10_000

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

let place: Installation
let namespace = ""
let truth: KubeCluster
let relay: Relay
let front: Front

beforeAll(async () => {
  place = await makeInstallation("torture")
  namespace = place.instances
  truth = openCluster("truth")
  const server = await readServer()
  const authority = server["certificate-authority-data"]
  relay = await startRelay(server.server)
  front = await startFront(server.server, typeof authority === "string" ? atob(authority) : undefined)
})
afterAll(async () => {
  await relay?.close()
  await front?.close()
})

/** Opens the cluster as one of the program's roles, through the relay or the front. */
const openAs = async (
  role: "operator" | "gateway",
  way: Relay | Front,
  options: Omit<OpenOptions, "kubeconfig"> = {},
): Promise<KubeCluster> => {
  const kubeconfig = await place.kubeconfig(role, way.url)
  return openCluster(`reflow-${role}`, { ...options, kubeconfig })
}

/** A gateway's reflection sees a fault on the relay, or on the front, while objects change. */
const trial = (more: Partial<Trial> & Pick<Trial, "act">): Promise<number> =>
  survive({ place, truth, way: relay, withinMs: recoveryMs, ...more })

describe("a reflection of a changing cluster loses and doubles nothing", { timeout: 180_000 }, () => {
  test("without any fault", async () => {
    await trial({ act: () => sleep(3_000) })
  })

  test("when its connection is reset again and again", async () => {
    await trial({
      act: async () => {
        for (let turn = 0; turn < 8; turn++) {
          await sleep(500)
          relay.reset()
        }
      },
    })
  })

  test("when its connection dies without a word", async () => {
    await trial({
      act: async () => {
        await sleep(1_000)
        relay.stall()
        await sleep(2_000)
      },
      // a silent watch is not doubted before its limit
      withinMs: silenceLimitMs + recoveryMs,
      silenceLimitMs,
    })
  })

  test("when the API server is gone for a while", async () => {
    await trial({
      act: async () => {
        await sleep(500)
        await relay.leave()
        await sleep(outageMs)
        await relay.comeBack()
      },
    })
  })

  test.each([410, 500])("when its watches end with an ERROR frame of code %i", async (code) => {
    await trial({
      way: front,
      act: async () => {
        for (let turn = 0; turn < 4; turn++) {
          await sleep(700)
          front.breakWatches(code)
        }
      },
    })
  })

  test.each([410, 429, 503])("when the API server answers %i to everything for a while", async (code) => {
    await trial({
      way: front,
      act: async () => {
        await sleep(500)
        front.set(() => ({ code, ...(code === 429 ? { retryAfter: 1 } : {}) }))
        front.breakWatches(410)
        await sleep(4_000)
        front.set(undefined)
      },
    })
  })
})

/** Follows the kinds that the operator follows, and waits until they are there. */
const followAll = async (cluster: KubeCluster): Promise<readonly Reflection<KubeObject>[]> => {
  const selection = { namespace }
  const reflections: readonly Reflection<KubeObject>[] = [
    cluster.watch(mcpTargetKind, selection),
    cluster.watch(mcpInstanceKind, selection),
    cluster.watch(serviceKind, selection),
  ]
  await Promise.all(reflections.map(({ synced }) => synced))
  return reflections
}

/** The value of a metric's sample, e.g. `reflow_watch_lists_total{kind="MCPTarget"}`. */
const sample = async (telemetry: TelemetryPort, name: string): Promise<number> => {
  const line = (await telemetry.metrics()).split("\n").find((each) => each.startsWith(`${name} `))
  return Number(line?.split(" ").at(-1))
}
const lastHeard = 'reflow_watch_last_event_timestamp_seconds{kind="MCPTarget"}'

describe("while the API server is away", { timeout: 180_000 }, () => {
  test("calls fail soon, silence is told, and reflections stay as they were; they go on when it is back", async () => {
    const telemetry = createTelemetry({ level: "error", format: "json", processMetrics: false, write: () => {} })
    const cluster = await openAs("operator", relay, { telemetry })
    const reflections = await followAll(cluster)
    await eventually(() => relay.open > reflections.length, recoveryMs, "all watches are open")
    const sizes = reflections.map(({ size }) => size)
    const opened = relay.opened
    await relay.leave()
    const left = Date.now()
    await expect(cluster.list(mcpTargetKind, { namespace })).rejects.toMatchObject({ code: "ClusterUnavailable" })
    expect(Date.now() - left).toBeLessThan(10_000)
    await sleep(left + outageMs - Date.now())
    for (const reflection of reflections) expect(reflection.silenceMs()).toBeGreaterThan(outageMs - 1_000)
    expect(await sample(telemetry, lastHeard)).toBeLessThan(left / 1_000 + 1)
    expect(reflections.map(({ size }) => size)).toEqual(sizes)
    expect(reflections.every((reflection) => reflection.hasSynced())).toBe(true)

    await relay.comeBack()
    const back = Date.now()
    await truth.create(mcpTargetKind, targetOf({ namespace, name: "back-again" }))
    await eventually(() => reflections[0]?.get("back-again") !== undefined, recoveryMs, "the new target is seen")
    expect(reflections[0]?.silenceMs()).toBeLessThan(recoveryMs)
    expect(await sample(telemetry, lastHeard)).toBeGreaterThanOrEqual(back / 1_000 - 1)
    await eventually(() => relay.open === reflections.length, recoveryMs, "each watch is open again, once")
    expect(relay.opened - opened).toBe(reflections.length)
    // each went on where it had been: no list was needed
    expect(await sample(telemetry, 'reflow_watch_lists_total{kind="MCPTarget"}')).toBe(1)
    await cluster.close()
  })

  test.each([410, 429, 503])("and answers %i to everything, no storm of requests comes", async (code) => {
    const cluster = await openAs("operator", front)
    const reflections = await followAll(cluster)
    front.set(() => ({ code }))
    front.breakWatches(410)
    const before = front.requests.length
    await sleep(6_000)
    const made = front.requests.length - before
    front.set(undefined)
    // in six seconds at most five attempts of each reflection, of at most four requests
    expect(made).toBeLessThanOrEqual(reflections.length * 5 * 4)
    expect(made).toBeGreaterThanOrEqual(reflections.length)
    await cluster.close()
  })
})

/** What happens to an operator's way to the API server; each ends with a way that works. */
const outages: readonly {
  readonly what: string
  readonly way: () => Relay | Front
  /** Lets it happen; `meanwhile` is to be called in its middle. */
  readonly act: (meanwhile: () => Promise<unknown>) => Promise<void>
  /** How long it may take afterwards; default five seconds. */
  readonly withinMs?: number
}[] = [
  {
    what: "is away",
    way: () => relay,
    act: async (meanwhile) => {
      await relay.leave()
      await sleep(outageMs / 2)
      await meanwhile()
      await sleep(outageMs / 2)
      await relay.comeBack()
    },
  },
  {
    what: "resets every connection again and again",
    way: () => relay,
    act: async (meanwhile) => {
      for (let turn = 0; turn < 8; turn++) {
        relay.reset()
        if (turn === 4) await meanwhile()
        await sleep(500)
      }
      relay.reset()
    },
  },
  {
    what: "answers 503 to everything",
    way: () => front,
    act: async (meanwhile) => {
      front.set(() => ({ code: 503 }))
      front.breakWatches(410)
      await sleep(outageMs / 2)
      await meanwhile()
      await sleep(outageMs / 2)
      front.set(undefined)
    },
  },
  {
    what: "says nothing any more on connections that stay open",
    way: () => relay,
    act: async (meanwhile) => {
      relay.stall()
      await meanwhile()
    },
    // a silent watch is not doubted before its limit, and a call on such a connection not before its deadline
    withinMs: silenceLimitMs + callDeadlineMs + recoveryMs,
  },
]

test.each(outages)(
  "an operator takes up in time what was made while the API server $what",
  {
    timeout: 180_000,
  },
  async ({ what, way, act, withinMs = recoveryMs }) => {
    const cluster = await openAs("operator", way(), { silenceLimitMs })
    const options = someSettings({ namespace })
    const operator = createOperator({ cluster, clock: systemClock, telemetry: quietTelemetry(), options })
    await operator.ready
    const ref = { namespace, name: what.replaceAll(/\W/g, "").slice(0, 30) }
    await act(() => truth.create(mcpInstanceKind, instanceOf(ref)))
    const hasPod = async () => (await truth.get(mcpInstanceKind, ref))?.status?.podName !== undefined
    await eventually(hasPod, withinMs, "the instance has a Pod")
    expect(await truth.get(serviceKind, ref)).toBeDefined()
    await operator.close()
    await cluster.close()
  },
)
