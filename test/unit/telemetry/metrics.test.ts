import { expect, test } from "vitest"
import { createMetrics, maxSeries } from "../../../src/telemetry/telemetry.ts"

test("counters, gauges and histograms appear in the Prometheus text", async () => {
  const metrics = createMetrics(false)
  metrics.counter({ name: "a_total", help: "A.", labels: ["result"] }).inc({ result: "ok" }, 2)
  const gauge = metrics.gauge({ name: "b", help: "B." })
  gauge.set(5)
  gauge.inc(undefined, -1)
  metrics.histogram({ name: "c_seconds", help: "C.", buckets: [1, 2] }).observe(1.5)
  const text = await metrics.metrics()
  for (const line of ['a_total{result="ok"} 2', "b 4", 'c_seconds_bucket{le="1"} 0', 'c_seconds_bucket{le="2"} 1'])
    expect(text.split("\n")).toContain(line)
})

test("what is read when it is asked for shows its value of that moment, of the last reader", async () => {
  const metrics = createMetrics(false)
  let value = 1
  metrics.reading({ name: "a", help: "A." }, () => 0)
  metrics.reading({ name: "a", help: "A." }, () => value)
  expect(await metrics.metrics()).toContain("\na 1\n")
  value = 2
  expect(await metrics.metrics()).toContain("\na 2\n")
})

test("defining a metric twice gives the same one", async () => {
  const metrics = createMetrics(false)
  for (let time = 0; time < 2; time++) metrics.counter({ name: "a_total", help: "A." }).inc()
  expect(await metrics.metrics()).toContain("a_total 2")
})

test("two registries share nothing", async () => {
  createMetrics(false).counter({ name: "a_total", help: "A." }).inc()
  expect(await createMetrics(false).metrics()).not.toContain("a_total")
})

test("label sets beyond the limit are counted as other", async () => {
  const metrics = createMetrics(false)
  const counter = metrics.counter({ name: "a_total", help: "A.", labels: ["who"] })
  for (let index = 0; index < maxSeries + 50; index++) counter.inc({ who: `user-${index}` })
  counter.inc({ who: "user-0" })
  const lines = (await metrics.metrics()).split("\n").filter((line) => line.startsWith("a_total{"))
  expect(lines).toHaveLength(maxSeries + 1)
  expect(lines).toContain('a_total{who="other"} 50')
  expect(lines).toContain('a_total{who="user-0"} 2')
})

test("the process's own metrics are there on request", async () => {
  expect(await createMetrics(true).metrics()).toContain("process_resident_memory_bytes")
})
