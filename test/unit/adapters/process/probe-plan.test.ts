import { expect, test } from "vitest"
import { afterProbe, beforeFirstProbe, nextProbeMs, planOf } from "../../../../src/adapters/process/probe.ts"

const plan = planOf({ periodSeconds: 1, failureThreshold: 3 })
const looks = (...each: readonly [boolean, number][]) =>
  each.reduce((standing, [ok, elapsedMs]) => afterProbe(plan, standing, { ok, elapsedMs }), {
    ...beforeFirstProbe,
    counted: false,
  })

test("a probe that says nothing has the defaults of Kubernetes", () => {
  expect(planOf({})).toEqual({ delayMs: 0, periodMs: 10_000, failureThreshold: 3, successThreshold: 1 })
})

test("before the first success one failure a period counts, however often the node probes", () => {
  expect(looks([false, 0], [false, 50], [false, 900])).toMatchObject({ failures: 0, counted: false })
  expect(looks([false, 0], [false, 1_000], [false, 1_050])).toMatchObject({ failures: 1, counted: false })
  expect(looks([false, 999], [false, 1_001], [false, 2_001])).toMatchObject({ failures: 2, counted: true })
})

test("after a success each failure counts, and the probe fails at its threshold only", () => {
  const twice = looks([true, 0], [false, 10], [false, 20])
  expect(twice).toMatchObject({ failures: 2, passing: true })
  expect(afterProbe(plan, twice, { ok: false, elapsedMs: 30 })).toMatchObject({ failures: 3, passing: false })
  expect(afterProbe(plan, twice, { ok: true, elapsedMs: 30 })).toMatchObject({ failures: 0, passing: true })
})

test("a probe passes after as many successes as it asks for", () => {
  const patient = planOf({ successThreshold: 2 })
  const once = afterProbe(patient, beforeFirstProbe, { ok: true, elapsedMs: 0 })
  expect(once.passing).toBe(false)
  expect(afterProbe(patient, once, { ok: true, elapsedMs: 1 }).passing).toBe(true)
})

test("it looks often at first, then less, then once a period", () => {
  expect([0, 4_999, 5_000, 30_000].map((elapsed) => nextProbeMs(10_000, elapsed, false))).toEqual([50, 50, 250, 1_000])
  expect(nextProbeMs(500, 60_000, false)).toBe(500)
  expect(nextProbeMs(10_000, 0, true)).toBe(10_000)
})
