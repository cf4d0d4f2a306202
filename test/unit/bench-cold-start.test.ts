import { expect, test } from "vitest"
import { type Call, type Durations, durationsOf, figuresOf, toMs, totalOf } from "../../bench/cold-start/phases.ts"
import { draw } from "../../bench/cold-start/picture.ts"
import { toRuns } from "../../bench/cold-start/place.ts"
import type { Start } from "../../bench/cold-start/starts.ts"
import { isWithin, toTable } from "../../bench/cold-start/table.ts"

/** 12:00:00 plus milliseconds, as the audit log has it. */
const stamp = (ms: number): string => `2026-11-29T12:00:0${(ms / 1_000).toFixed(6)}Z`
const noon = Date.parse("2026-11-29T12:00:00Z")

const call = (who: string, what: string, name: string, [from, to]: readonly [number, number], more = {}): Call => {
  const [verb = "", path = ""] = what.split(" ")
  const [resource = "", subresource] = path.split("/")
  return {
    verb,
    requestURI: "",
    user: { username: `system:serviceaccount:own:${who}` },
    objectRef: { resource, name, ...(subresource === undefined ? {} : { subresource }) },
    responseStatus: { code: 201 },
    requestReceivedTimestamp: stamp(from),
    stageTimestamp: stamp(to),
    ...more,
  }
}

const event = (reason: string, pod: string, at: number): Call =>
  call("node", "create events", `${pod}.1`, [at, at + 1], { requestObject: { reason, involvedObject: { name: pod } } })

const start: Start = {
  kind: "instance",
  pod: "a-1",
  instance: "a",
  sentAt: noon,
  addressedAt: noon + 900,
  reachedAt: noon + 920,
  answeredAt: noon + 950,
}

const calls: readonly Call[] = [
  call("reflow-gateway", "create mcpinstances", "a", [5, 10.5]),
  call("reflow-operator", "patch mcpinstances/status", "a", [12, 20]),
  call("reflow-operator", "create pods", "a-1", [22, 30]),
  call("scheduler", "create pods/binding", "a-1", [31, 40]),
  event("Pulled", "a-1", 400),
  event("Started", "a-1", 500),
]

test("the phases of a start are the times between the moments that log and bench have, and add up to its whole", () => {
  const durations = durationsOf(start, calls)
  expect(durations).toEqual({
    compose: expect.closeTo(10.5, 2),
    queue: expect.closeTo(1.5, 2),
    create: expect.closeTo(18, 2),
    schedule: expect.closeTo(10, 2),
    pull: expect.closeTo(360, 2),
    start: expect.closeTo(100, 2),
    address: expect.closeTo(400, 2),
    ready: expect.closeTo(20, 2),
    "first byte": expect.closeTo(30, 2),
  })
  expect(totalOf(durations)).toBeCloseTo(950, 2)
})

test.each([
  ["another Pod's", [...calls.slice(0, -2), event("Pulled", "b-1", 400), event("Started", "b-1", 500)]],
  ["a refused", calls.map((each, index) => (index < 4 ? each : { ...each, responseStatus: { code: 409 } }))],
])("%s call ends no phase: its time belongs to the next one that is known", (_what, some) => {
  expect(durationsOf(start, some)).toMatchObject({ pull: 0, start: 0, address: expect.closeTo(860, 2) })
})

test("a moment that is told late takes nothing from the phases before it, and no phase is negative", () => {
  const durations = durationsOf({ ...start, addressedAt: noon + 300, reachedAt: Number.NaN }, calls)
  expect(durations).toMatchObject({ address: 0, ready: 0, "first byte": expect.closeTo(450, 2) })
})

test("the log's microseconds are kept", () => {
  expect(toMs("2026-11-29T12:00:00.000250Z") - noon).toBeCloseTo(0.25, 3)
  expect(toMs("2026-11-29T12:00:00Z")).toBe(noon)
})

const lasting = (ready: number): Durations => ({
  compose: 10,
  queue: 2,
  create: 8,
  schedule: 5,
  pull: 300,
  start: 75,
  address: 100,
  ready,
  "first byte": 20,
})
const many = (...ready: readonly number[]) => ready.map(lasting)
const measured = {
  at: "2026-11-29T12:00:00Z",
  machine: "2 cores",
  kubernetes: "v1.35.4",
  load: [0, 0, 0],
  policies: true,
}

test("the 95th percentile of a start is compared with the bare Pod's, and may be half a second above it", () => {
  const bare = figuresOf(many(...Array.from({ length: 20 }, () => 30)))
  const slow = (count: number) =>
    figuresOf(many(...Array.from({ length: 20 }, (_, index) => (index < count ? 600 : 40))))
  expect(isWithin(slow(1), bare)).toBe(true)
  expect(isWithin(slow(2), bare)).toBe(false)
})

test("the table has a row for each phase, the totals, and says if the budget is kept", () => {
  const table = toTable({ ...measured, instance: many(40, 80, 60), bare: many(30) })
  expect(table).toContain("| ready: until the server accepts a connection | 60 ms | 80 ms | 30 ms | 30 ms |")
  expect(table).toContain("| **first answer** | 580 ms | 600 ms | 550 ms | 550 ms |")
  expect(table).toContain("answers 50 ms later than a bare Pod; budget 500 ms later: within.")
  expect(table).toContain("3 starts of each kind in turns, with NetworkPolicies.")
})

test("the picture has each phase of both bars, as wide as it is long, side by side", () => {
  const svg = draw({ instance: figuresOf(many(40)), bare: figuresOf(many(30)) })
  const bars = [...svg.matchAll(/<rect class="([\w-]+)" x="([\d.]+)" y="(\d+)" width="([\d.]+)"[^>]*><title>/g)]
  expect(bars).toHaveLength(18)
  const [first = [], ...others] = bars
    .slice(0, 9)
    .map(([, phase, x, , width]) => [phase, Number(x), Number(width)] as const)
  expect(first[0]).toBe("compose")
  let end = Number(first[1]) + Number(first[2])
  for (const [, x, width] of others) {
    expect(Math.abs(x - end)).toBeLessThan(0.11)
    end = x + width
  }
  const widthOf = (phase: string) => Number(bars.find(([, name]) => name === phase)?.[4])
  expect(widthOf("pull") / widthOf("start")).toBeCloseTo(4, 1)
})

test("the picture needs nothing from outside, and has colours for light and for dark pages", () => {
  const svg = draw({ instance: figuresOf(many(40)), bare: figuresOf(many(30)) })
  expect(svg).toMatch(/^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg"/)
  expect(svg.match(/https?:/g)).toHaveLength(1)
  expect(svg).not.toMatch(/<script|@import|@font-face|href/)
  expect(svg).toContain("prefers-color-scheme:dark")
  for (const [, size] of svg.matchAll(/font(?:-size)?:(\d+)px/g)) expect(Number(size)).toBeGreaterThanOrEqual(13)
})

test("the number of starts is a whole one from 1 to 1000", () => {
  expect(toRuns("30")).toBe(30)
  for (const text of ["0", "1.5", "many", "1001", ""]) expect(() => toRuns(text)).toThrow("--runs")
})
