import { expect, test } from "vitest"
import type { ProcessStat } from "../../bench/proc.ts"
import type { Entrant } from "../../bench/stdio-entrants.ts"
import type { Calls, Held } from "../../bench/stdio-measure.ts"
import { growthOf, judgedSeries, shown } from "../../bench/stdio-table.ts"
import { parseMemory, runsScript, splitProcesses } from "../../bench/stdio-usage.ts"
import { judge } from "../../bench/verdict.ts"

const script = "/bench/server.ts"

test("a server is the process that runs the script, not one that has the script as an argument", () => {
  expect(runsScript(`/bin/node\0${script}\0--stdio\0`, script)).toBe(true)
  expect(runsScript(`/bin/node\0bridge.mjs\0--\0/bin/node\0${script}\0--stdio\0`, script)).toBe(false)
  expect(runsScript("", script)).toBe(false)
})

const process = (pid: number, parent: number, group: number): ProcessStat => {
  return { pid, parent, group, isZombie: false, cpu: pid }
}

test("the program's own are all processes but the servers, and the watchers in the servers' groups", () => {
  const all = [process(1, 0, 1), process(10, 1, 10), process(11, 10, 10), process(12, 11, 12), process(13, 1, 12)]
  const { own, servers } = splitProcesses(10, [...all, process(14, 1, 14)], (pid) => pid === 12)
  expect(own.map(({ pid }) => pid)).toEqual([10, 11, 13])
  expect(servers.map(({ pid }) => pid)).toEqual([12])
})

test("memory is read in bytes, and is nothing for a process that has ended", () => {
  expect(parseMemory("Rss:   9 kB\nPss:   5 kB\nPss_Anon:   2 kB\n")).toEqual({
    rss: 9_216,
    pss: 5_120,
    anonymous: 2_048,
  })
  expect(parseMemory("")).toEqual({ rss: 0, pss: 0, anonymous: 0 })
})

const held = (name: string, sessions: number, mebibytes: number): Held => {
  const bytes = mebibytes * 2 ** 20
  const memory = { rss: bytes, pss: bytes, anonymous: bytes }
  return { name, sessions, own: memory, all: memory, servers: 1 }
}

test("the growth a session is that between 20 and 50 sessions, of each round", () => {
  const rounds = [held("a", 1, 10), held("a", 20, 50), held("a", 50, 80), held("a", 20, 40), held("a", 50, 100)]
  expect(growthOf([...rounds, held("b", 50, 7)], "a", "rss").map((bytes) => bytes / 2 ** 20)).toEqual([1, 2])
})

test("figures are shown with their median and their range", () => {
  expect(shown([2_000, 1_000, 4_500], "KiB", 1_000)).toBe("2.00 KiB (1.00–4.50)")
  expect(shown([12_345], "")).toBe("12345 (12345–12345)")
  expect(shown([], "µs")).toBe("–")
})

const entrant = (name: string, more: Partial<Entrant>): Entrant => ({
  ...({ name, servers: "one", isPeer: false, isJudged: false, log: undefined, holdsSessions: true } as const),
  start: () => Promise.reject(new Error("nobody starts it")),
  ...more,
})

const calls = (name: string, cpu: number): Calls => ({ name, connections: 64, cpu, p50: 1, perSecond: 1 })

test("each judged program is compared with each peer, but with servers only where both run as many", () => {
  const all = [
    entrant("ours", { isJudged: true }),
    entrant("for information", {}),
    entrant("cheap", { isPeer: true }),
    entrant("dear", { isPeer: true, servers: "one a session" }),
  ]
  const growing = (name: string, to: number) => [held(name, 20, 10), held(name, 50, to)]
  const measured = {
    calls: [calls("ours", 10), calls("cheap", 9), calls("dear", 20)],
    held: [...growing("ours", 40), ...growing("cheap", 70), ...growing("dear", 100)],
    failures: [],
  }
  const verdicts = judgedSeries(all, measured).map((each) => [each.what, each.against, judge(each).outcome])
  expect(verdicts).toEqual([
    ["ours: CPU a call at 64", "cheap", "over"],
    ["ours: own memory a session", "cheap", "within"],
    ["ours: memory a session with servers", "cheap", "within"],
    ["ours: CPU a call at 64", "dear", "within"],
    ["ours: own memory a session", "dear", "within"],
  ])
})

test("a program that logs is compared with peers that log, one without a log with those without, both with the others", () => {
  const all = [
    entrant("silent", { isJudged: true, log: "off" }),
    entrant("logging", { isJudged: true, log: "on" }),
    entrant("silent peer", { isPeer: true, log: "off" }),
    entrant("logging peer", { isPeer: true, log: "on" }),
    entrant("peer", { isPeer: true }),
  ]
  const measured = { calls: all.map(({ name }) => calls(name, 10)), held: [], failures: [] }
  expect(judgedSeries(all, measured).map((each) => [each.what, each.against])).toEqual([
    ["silent: CPU a call at 64", "silent peer"],
    ["silent: CPU a call at 64", "peer"],
    ["logging: CPU a call at 64", "logging peer"],
    ["logging: CPU a call at 64", "peer"],
  ])
})
