import { describe, expect, test } from "vitest"
import { createReach } from "../../../../src/placement/know/reachable.ts"
import { instance, readyStatus } from "../../../support/build/placed.ts"
import { fakeClock } from "../../../support/fake-clock.ts"

const pod = "http://10.1.0.1:8080/mcp"
const service = "http://10.0.0.1:8080/mcp"

const setUp = () => {
  const clock = fakeClock()
  const answering = new Set<string>()
  const silent = new Set<string>()
  const asked: string[] = []
  const limits: number[] = []
  const reached: string[] = []
  const strangers: string[] = []
  let wanted = true
  const reach = createReach({
    clock,
    probe: async (url, _health, _signal, connectMs = 0) => {
      asked.push(url.href)
      limits.push(connectMs)
      return answering.has(url.href) ? "answered" : silent.has(url.href) ? "failed" : "refused"
    },
    isWanted: () => wanted,
    onReached: (name) => reached.push(name),
    onStranger: () => strangers.push("met"),
  })
  return {
    clock,
    answering,
    silent,
    asked,
    limits,
    reached,
    strangers,
    reach,
    leave: () => {
      wanted = false
    },
  }
}

const starting = instance({ status: readyStatus({ conditions: [] }) })
const ready = instance({ status: readyStatus() })

describe("which address is used", () => {
  test("the Pod's answer is enough, and the Service's own one moves requests there, once the Pod is Ready", async () => {
    const { clock, answering, reach, reached, leave } = setUp()
    reach.ensure(starting)
    await clock.advance(500)
    expect(reach.url(starting, true)).toBeUndefined()
    answering.add(pod)
    await clock.advance(250)
    expect(reach.url(starting, true)?.href).toBe(pod)
    leave()
    await clock.advance(1_000)
    expect(reach.url(starting, true)?.href).toBe(pod)
    answering.add(service)
    await clock.advance(1_000)
    expect(reach.url(starting, true)?.href).toBe(pod)
    reach.ensure(ready)
    await clock.advance(250)
    expect(reach.url(ready, true)?.href).toBe(service)
    expect(reached).toHaveLength(2)
    await clock.advance(5_000)
    expect(clock.pending).toBe(0)
  })

  test("the Pod's own address is for early requests; others wait for the Service, but not longer than five seconds", async () => {
    const { clock, answering, reach, reached } = setUp()
    answering.add(pod)
    reach.ensure(starting)
    await clock.advance(0)
    expect(reach.url(starting, true)?.href).toBe(pod)
    expect(reach.url(starting, false)).toBeUndefined()
    await clock.advance(4_999)
    expect(reach.url(starting, false)).toBeUndefined()
    expect(reached).toHaveLength(1)
    await clock.advance(1)
    expect(reach.url(starting, false)?.href).toBe(pod)
    expect(reached).toHaveLength(2)
  })

  test("a Service that answers is for everybody", async () => {
    const { clock, answering, reach } = setUp()
    answering.add(service)
    reach.ensure(ready)
    await clock.advance(0)
    for (const early of [true, false]) expect(reach.url(ready, early)?.href).toBe(service)
  })

  test("who answers at the Service of a server that does not listen is a stranger: it gets nothing, until the Service must route", async () => {
    const { clock, answering, reach, strangers } = setUp()
    answering.add(service)
    reach.ensure(starting)
    await clock.advance(1_000)
    expect(reach.url(starting, true)).toBeUndefined()
    expect(strangers).toHaveLength(1)
    answering.add(pod)
    reach.ensure(ready)
    await clock.advance(14_000)
    expect(reach.url(ready, false)?.href).toBe(pod)
    await clock.advance(1_250)
    expect(reach.url(ready, false)?.href).toBe(service)
  })

  test("a stranger is none any more once the Service has refused a connection", async () => {
    const { clock, answering, reach, strangers } = setUp()
    answering.add(service)
    reach.ensure(starting)
    await clock.advance(500)
    answering.delete(service)
    await clock.advance(500)
    answering.add(pod).add(service)
    reach.ensure(ready)
    await clock.advance(500)
    expect(reach.url(ready, false)?.href).toBe(service)
    expect(strangers).toHaveLength(1)
  })

  test("an answer in the moment between a refusal and the route may be a stranger's: it counts once it is repeated", async () => {
    const { clock, answering, reach } = setUp()
    reach.ensure(ready)
    answering.add(pod)
    await clock.advance(2_000)
    answering.add(service)
    await clock.advance(250)
    expect(reach.url(ready, true)?.href).toBe(pod)
    answering.delete(service)
    await clock.advance(250)
    answering.add(service)
    await clock.advance(250)
    expect(reach.url(ready, true)?.href).toBe(pod)
    await clock.advance(250)
    expect(reach.url(ready, true)?.href).toBe(service)
  })

  test("a probe that only took too long is no refusal: a stranger stays one", async () => {
    const { clock, answering, silent, reach, strangers } = setUp()
    answering.add(service)
    reach.ensure(starting)
    await clock.advance(500)
    expect(strangers).toHaveLength(1)
    answering.delete(service)
    silent.add(service)
    await clock.advance(500)
    answering.add(pod).add(service)
    reach.ensure(ready)
    await clock.advance(14_000)
    expect(reach.url(ready, false)?.href).toBe(pod)
  })

  test("in a network with strangers the Service of a Pod that was Ready before it was asked is believed later", async () => {
    const { clock, answering, reach } = setUp()
    answering.add(service)
    reach.ensure(starting)
    await clock.advance(500)
    const other = instance({ metadata: { name: "other", uid: "o" }, status: readyStatus() })
    answering.add(pod)
    reach.ensure(other)
    await clock.advance(14_000)
    expect(reach.url(other, false)?.href).toBe(pod)
    await clock.advance(1_250)
    expect(reach.url(other, false)?.href).toBe(service)
  })

  test("a Service that routes before the Pod is known to be Ready is no stranger, and used as soon as it is", async () => {
    const { clock, answering, reach, strangers } = setUp()
    answering.add(pod).add(service)
    reach.ensure(starting)
    await clock.advance(500)
    expect(reach.url(starting, true)?.href).toBe(pod)
    reach.ensure(ready)
    await clock.advance(250)
    expect(reach.url(ready, true)?.href).toBe(service)
    expect(strangers).toEqual([])
  })

  test("addresses are probed every 20 ms at first and every 250 ms at last, side by side", async () => {
    const { clock, asked, reach } = setUp()
    reach.ensure(starting)
    reach.ensure(starting)
    await clock.advance(0)
    expect(asked).toEqual([pod, service])
    await clock.advance(20)
    expect(asked).toHaveLength(4)
    await clock.advance(10_000)
    const before = asked.length
    await clock.advance(1_000)
    expect(asked.length - before).toBe(8)
  })

  test("a connection is given up soon at first, when the network may not know the Pod yet, and later has all the time", async () => {
    const { clock, limits, reach } = setUp()
    reach.ensure(starting)
    await clock.advance(10_000)
    expect(limits[0]).toBe(50)
    expect(limits).toEqual(limits.toSorted((a, b) => a - b))
    expect(limits.at(-1)).toBe(250)
    // a timer of AbortSignal throws for other numbers
    expect(limits.filter((each) => !Number.isInteger(each))).toEqual([])
  })

  test("a Pod that is Ready already is asked only if its Service has not answered first", async () => {
    const { clock, answering, asked, reach, reached } = setUp()
    answering.add(pod).add(service)
    reach.ensure(ready)
    await clock.advance(1_000)
    expect(asked).toEqual([service])
    expect(reach.url(ready, true)?.href).toBe(service)
    expect(reached).toHaveLength(1)
  })

  test("a Pod that is Ready already is reached by its own address soon if its Service does not answer", async () => {
    const { clock, answering, reach } = setUp()
    answering.add(pod)
    reach.ensure(ready)
    await clock.advance(50)
    expect(reach.url(ready, true)?.href).toBe(pod)
  })

  test("one address that stands for both is probed once", async () => {
    const { clock, asked, reach } = setUp()
    reach.ensure(instance({ status: readyStatus({ url: pod }) }))
    await clock.advance(0)
    expect(asked).toEqual([pod])
  })

  test("probing ends when nobody waits any more, and begins again with the next who does", async () => {
    const { clock, asked, reach, leave } = setUp()
    reach.ensure(starting)
    leave()
    await clock.advance(1_000)
    expect(clock.pending).toBe(0)
    const before = asked.length
    reach.ensure(starting)
    await clock.advance(0)
    expect(asked.length).toBe(before + 2)
  })

  test("a Service that never answers is given up after a minute", async () => {
    const { clock, answering, reach, leave } = setUp()
    answering.add(pod)
    reach.ensure(starting)
    leave()
    await clock.advance(61_000)
    expect(clock.pending).toBe(0)
    expect(reach.url(starting, true)?.href).toBe(pod)
  })

  test("another incarnation has to answer for itself", async () => {
    const { clock, answering, reach } = setUp()
    answering.add(pod).add(service)
    reach.ensure(starting)
    await clock.advance(0)
    const restarted = instance({ status: readyStatus({ incarnation: "pod-uid.1" }) })
    expect(reach.url(starting, true)).toBeDefined()
    expect(reach.url(restarted, true)).toBeUndefined()
    reach.ensure(restarted)
    await clock.advance(0)
    expect(reach.url(restarted, true)).toBeDefined()
    expect(reach.url(starting, true)).toBeUndefined()
  })

  test("what was reported unreachable has to answer again; a report about an earlier incarnation changes nothing", async () => {
    const { clock, answering, reach } = setUp()
    answering.add(pod).add(service)
    reach.ensure(starting)
    await clock.advance(0)
    reach.forget(starting.metadata.name, "pod-uid.9")
    expect(reach.url(starting, true)).toBeDefined()
    reach.forget(starting.metadata.name, "pod-uid.0")
    expect(reach.url(starting, true)).toBeUndefined()
  })

  test("an instance without an incarnation is not probed, nor anything after closing", async () => {
    const { clock, asked, reach } = setUp()
    reach.ensure(instance({ status: { podURL: pod } }))
    reach.ensure(starting)
    reach.close()
    reach.ensure(starting)
    await clock.advance(10_000)
    expect(asked).toHaveLength(2)
    expect(clock.pending).toBe(0)
  })
})
