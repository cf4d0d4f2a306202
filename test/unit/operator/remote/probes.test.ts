import { afterEach, describe, expect, it } from "vitest"
import type { MCPTarget } from "../../../../src/api/kinds/mcp-target.ts"
import { createProbes, nextProbeMs, type Probes } from "../../../../src/operator/remote/probes.ts"
import type { ProbedServer, ProbeResult } from "../../../../src/ports/remote-probe.ts"
import { aRemoteTarget, aTarget, type TargetParts } from "../../../support/build/target.ts"
import { fakeClock } from "../../../support/fake-clock.ts"
import { quietTelemetry } from "../../../support/quiet-telemetry.ts"

const minute = 60_000
const hour = 60 * minute
const good: ProbeResult = { kind: "answered", status: 401 }
const bad: ProbeResult = { kind: "unreachable", cause: "ConnectionRefused" }

/** Servers that answer as the test says, and targets that name them. */
const makeWorld = () => {
  const clock = fakeClock()
  const targets = new Map<string, MCPTarget>()
  const asked: string[] = []
  const news: string[] = []
  const counted: string[] = []
  const running = new Set<string>()
  let most = 0
  const answers = new Map<string, ProbeResult | Promise<ProbeResult>>()
  const probe = async ({ url }: ProbedServer, signal: AbortSignal): Promise<ProbeResult> => {
    asked.push(url)
    if (running.has(url)) throw new Error(`${url} is probed twice at a time`)
    running.add(url)
    most = Math.max(most, running.size)
    const aborted = new Promise<never>((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason), { once: true })
    })
    try {
      return await Promise.race([answers.get(url) ?? good, aborted])
    } finally {
      running.delete(url)
    }
  }
  const probes: Probes = createProbes({
    clock,
    probe,
    target: (name) => targets.get(name),
    onNews: (name) => news.push(name),
    count: { inc: ({ reason = "" } = {}) => counted.push(reason) },
    observer: { depth: () => {}, added: () => {}, started: () => {}, finished: () => {}, retried: () => {} },
    log: quietTelemetry().log,
    random: () => 0.5,
  })
  const put = (parts: TargetParts = {}): MCPTarget => {
    const target = aRemoteTarget(parts)
    targets.set(target.metadata.name, target)
    probes.add(target)
    return target
  }
  const at = (url: string): TargetParts["spec"] => ({ remote: { url } })
  return { clock, targets, asked, news, counted, running, answers, probes, put, at, most: () => most }
}

let world = makeWorld()
afterEach(() => world.probes.close())

/** The world, made anew, with one target whose server gives these answers, one after the other; the last one stays. */
const withTarget = async (...results: readonly ProbeResult[]) => {
  world = makeWorld()
  const target = world.put()
  const { url = "" } = target.spec.remote ?? {}
  world.answers.set(url, results[0] ?? good)
  await world.clock.advance(0)
  return { ...world, target, url }
}

describe("a remote server is probed", () => {
  it("as soon as its target is there, and the target is told", async () => {
    const { asked, news, probes, target, url, counted } = await withTarget(good)
    expect(asked).toEqual([url])
    expect(news).toEqual([target.metadata.name])
    expect(probes.resultOf(target)).toEqual(good)
    expect(counted).toEqual(["Available"])
  })

  it("each hour, without news as long as it answers in the same way", async () => {
    const { asked, news, clock } = await withTarget(good)
    await clock.advance(hour - 1)
    expect(asked).toHaveLength(1)
    await clock.advance(1)
    expect(asked).toHaveLength(2)
    await clock.advance(10 * hour)
    expect(asked).toHaveLength(12)
    expect(news).toHaveLength(1)
  })

  it("after a minute while it fails, with pauses that double up to an hour, and hourly when it has recovered", async () => {
    const { asked, news, clock, answers, url } = await withTarget(bad)
    const pauses: number[] = []
    for (let each = 0; each < 8; each++) {
      const before = asked.length
      let waited = 0
      for (; asked.length === before; waited++) await clock.advance(minute)
      pauses.push(waited)
    }
    expect(pauses).toEqual([1, 2, 4, 8, 16, 32, 60, 60])
    expect(news).toHaveLength(1)
    answers.set(url, good)
    await clock.advance(hour)
    expect(news).toHaveLength(2)
    answers.set(url, bad)
    await clock.advance(hour)
    expect(news).toHaveLength(3)
    const before = asked.length
    await clock.advance(minute)
    expect(asked).toHaveLength(before + 1)
  })

  it("soon again after a server error, although the server can be reached", async () => {
    const { asked, clock } = await withTarget({ kind: "answered", status: 503 })
    await clock.advance(minute)
    expect(asked).toHaveLength(2)
  })

  it("at each change of its target; what was found stays while the URL is the same", async () => {
    const { asked, clock, put, probes, target } = await withTarget(bad)
    await clock.advance(10 * minute)
    const before = asked.length
    const changed = put({ metadata: { generation: 2 } })
    expect(probes.resultOf(changed)).toEqual(bad)
    await clock.advance(0)
    expect(asked).toHaveLength(before + 1)
    // who changed it may be repairing it
    await clock.advance(minute)
    expect(asked).toHaveLength(before + 2)
    expect(changed.metadata.uid).toBe(target.metadata.uid)
  })

  it("anew at another URL, of which nothing is known before", async () => {
    const { asked, news, clock, put, at, probes } = await withTarget(bad)
    const moved = put({ metadata: { generation: 2 }, spec: at("https://other.example.com/") ?? {} })
    expect(probes.resultOf(moved)).toBeUndefined()
    await clock.advance(0)
    expect(asked.at(-1)).toBe("https://other.example.com/")
    expect(probes.resultOf(moved)).toEqual(good)
    expect(news).toHaveLength(2)
  })

  it("of whose answer nothing is kept if its target names another server meanwhile", async () => {
    const { clock, put, at, answers, url, probes, counted, news } = await withTarget(good)
    const slow = Promise.withResolvers<ProbeResult>()
    answers.set(url, slow.promise)
    put({ metadata: { generation: 2 } })
    await clock.advance(0)
    const moved = put({ metadata: { generation: 3 }, spec: at("https://other.example.com/") ?? {} })
    slow.resolve(bad)
    await clock.advance(0)
    expect(probes.resultOf(moved)).toEqual(good)
    expect([counted, news.length]).toEqual([["Available", "Available"], 2])
  })

  it("not while its target is paused, and at once when it is not any more", async () => {
    const { asked, clock, put } = await withTarget(good)
    put({ metadata: { generation: 2 }, spec: { paused: true } })
    await clock.advance(3 * hour)
    expect(asked).toHaveLength(1)
    put({ metadata: { generation: 3 } })
    await clock.advance(0)
    expect(asked).toHaveLength(2)
  })

  it("never for a target that runs in the cluster", async () => {
    const { asked, clock, targets, probes } = await withTarget(good)
    const local = aTarget({ name: "local" })
    targets.set("local", local)
    probes.add(local)
    await clock.advance(0)
    expect(asked).toHaveLength(1)
    expect(probes.resultOf(local)).toBeUndefined()
  })
})

describe("a target that is deleted", () => {
  it("is not probed again, and nothing of it is kept", async () => {
    const { asked, clock, targets, probes, target } = await withTarget(bad)
    targets.delete(target.metadata.name)
    probes.forget(target)
    expect(probes.resultOf(target)).toBeUndefined()
    expect(clock.pending).toBe(0)
    await clock.advance(3 * hour)
    expect(asked).toHaveLength(1)
  })

  it("while it is probed leaves nothing to another one of its name", async () => {
    const { clock, targets, probes, target, news, answers, put, url } = await withTarget(good)
    const slow = Promise.withResolvers<ProbeResult>()
    answers.set(url, slow.promise)
    const changed = put({ metadata: { generation: 2 } })
    await clock.advance(0)
    targets.delete(target.metadata.name)
    probes.forget(changed)
    const another = put({ metadata: { uid: "another" } })
    slow.resolve(bad)
    answers.set(url, good)
    await clock.advance(0)
    expect(probes.resultOf(another)).toEqual(good)
    expect(probes.resultOf(changed)).toBeUndefined()
    expect(news).toHaveLength(2)
  })
})

describe("slow servers", () => {
  it("do not delay others, as long as some places are free, and at most eight are probed at a time", async () => {
    const { clock, put, at, answers, probes, most, running } = await withTarget(good)
    const never = new Promise<ProbeResult>(() => {})
    const slow = Array.from({ length: 20 }, (_, index) => `https://slow-${index}.example.com/`)
    for (const url of slow.slice(0, 7)) answers.set(url, never)
    for (const [index, url] of slow.slice(0, 7).entries()) put({ name: `slow-${index}`, spec: at(url) ?? {} })
    const quick = put({ name: "quick", spec: at("https://quick.example.com/") ?? {} })
    await clock.advance(0)
    expect(probes.resultOf(quick)).toEqual(good)
    for (const [index, url] of slow.slice(7).entries()) {
      answers.set(url, never)
      put({ name: `slower-${index}`, spec: at(url) ?? {} })
    }
    await clock.advance(0)
    expect([most(), running.size]).toEqual([8, 8])
  })

  it("are probed once more after a change that came meanwhile, never twice at a time", async () => {
    const { clock, put, answers, asked, url, probes } = await withTarget(good)
    const slow = Promise.withResolvers<ProbeResult>()
    answers.set(url, slow.promise)
    put({ metadata: { generation: 2 } })
    await clock.advance(0)
    const latest = put({ metadata: { generation: 3 } })
    await clock.advance(0)
    expect(asked).toHaveLength(2)
    slow.resolve(bad)
    answers.set(url, good)
    await clock.advance(0)
    expect(asked).toHaveLength(3)
    expect(probes.resultOf(latest)).toEqual(good)
  })
})

it("a close aborts what runs, and starts nothing more", async () => {
  const { clock, put, answers, asked, url, probes, running } = await withTarget(good)
  answers.set(url, new Promise(() => {}))
  const target = put({ metadata: { generation: 2 } })
  await clock.advance(0)
  expect(running.size).toBe(1)
  await probes.close()
  expect([running.size, clock.pending]).toEqual([0, 0])
  probes.add(target)
  await clock.advance(hour)
  expect(asked).toHaveLength(2)
})

it("the pauses differ by a tenth, so that probes of many targets do not stay together", () => {
  expect([nextProbeMs(0, 0), nextProbeMs(0, 0.999)].map((ms) => Math.round(ms / minute))).toEqual([54, 66])
  expect([nextProbeMs(1, 0), nextProbeMs(1, 0.5)]).toEqual([0.9 * minute, minute])
  expect(nextProbeMs(1_000, 0.5)).toBe(hour)
})
