import { afterEach, expect, test, vi } from "vitest"
import { callsIn, listed, writesIn } from "../../bench/audited-calls.ts"
import { isWithin, type Row, report, toTable } from "../../bench/figures.ts"

const rows: readonly Row[] = [
  { what: "memory", value: 299.6, unit: "MiB", budget: 300 },
  { what: "CPU time", value: 0.64, unit: "s", digits: 2, budget: 0.5 },
  { what: "writes", value: 0, unit: "", budget: 0 },
  { what: "time", value: 12.34, unit: "s", digits: 1 },
  { what: "calls", text: "1 list pods" },
]

afterEach(() => {
  vi.restoreAllMocks()
  process.exitCode = undefined
})

test("a table shows each figure with its budget, and whether it is within", () => {
  expect(toTable(rows).split("\n")).toEqual([
    "| what | budget | figure | |",
    "|---|---|---|---|",
    "| memory | ≤ 300 MiB | 300 MiB | within |",
    "| CPU time | ≤ 0.5 s | 0.64 s | over |",
    "| writes | ≤ 0 | 0 | within |",
    "| time |  | 12.3 s |  |",
    "| calls |  | 1 list pods |  |",
  ])
})

test("a figure that is no number is within no budget", () => {
  expect(isWithin({ what: "x", value: Number.NaN, unit: "s", budget: 5 })).toBe(false)
})

test.each([
  [true, rows, 1],
  [false, rows, undefined],
  [true, rows.slice(2), undefined],
])("with check %s, figures over their budget set the exit code", (check, some, code) => {
  const log = vi.spyOn(console, "log").mockReturnValue()
  report(some, { title: "a run", machine: "2 cores", json: true, check })
  expect(JSON.parse(String(log.mock.calls[0]?.[0]))).toMatchObject({ title: "a run", machine: "2 cores", rows: some })
  expect(process.exitCode).toBe(code)
})

test("reads and Leases are no writes; a refused create is one", () => {
  const calls = new Map([
    ["update leases", 9],
    ["create pods (409)", 2],
    ["patch mcpinstances/status", 3],
    ["list pods", 4],
    ["watch pods", 5],
  ])
  expect(writesIn(calls)).toBe(5)
  expect(callsIn(calls)).toBe(9)
  expect(listed(calls)).toBe(
    "2 create pods (409), 4 list pods, 3 patch mcpinstances/status, 9 update leases, 5 watch pods",
  )
})
