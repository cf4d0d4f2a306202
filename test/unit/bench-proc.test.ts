import { expect, test } from "vitest"
import { parseOpenFiles, parseResident, parseStat, treeOf } from "../../bench/proc.ts"

const stat = (pid: number, parent: number, ...ticks: number[]) =>
  `${pid} (a (b) 9 9) Z ${parent} 5 ${pid} 0 -1 4194560 1 2 3 4 ${ticks.join(" ")} 20 0 11 0 100 1 2\n`

test("of a process' stat the parent, the group, the state and the CPU time are read, whatever its name is", () => {
  expect(parseStat(stat(7, 3, 10, 5, 2, 1))).toEqual({ pid: 7, parent: 3, group: 5, isZombie: true, cpu: 180_000 })
})

test.each(["", "7 (a) S", "no stat at all", stat(7, 3, Number.NaN)])("what is no stat is not read: %j", (text) => {
  expect(parseStat(text)).toBeUndefined()
})

test("resident memory is read in bytes, and is 0 for a process that has ended", () => {
  expect(parseResident("VmHWM:\t  9000 kB\nVmRSS:\t  2048 kB\nThreads:\t3\n")).toBe(2_097_152)
  expect(parseResident("State:\tZ (zombie)\n")).toBe(0)
})

test("the soft limit of open files is read", () => {
  const limits = (soft: string) =>
    `Limit  Soft Limit  Hard Limit  Units\nMax open files            ${soft}  20000  files\n`
  expect(parseOpenFiles(limits("1024"))).toBe(1_024)
  expect(parseOpenFiles(limits("unlimited"))).toBe(Number.POSITIVE_INFINITY)
})

test("a tree has a process and its descendants, without those that stand apart and what they have started", () => {
  const all = [
    [1, 0],
    [10, 1],
    [11, 10],
    [12, 11],
    [13, 10],
    [14, 13],
    [20, 1],
  ].map(([pid = 0, parent = 0]) => ({ pid, parent, group: 10, isZombie: false, cpu: 1 }))
  const pids = (apart: number) => treeOf(10, all, (pid) => pid === apart).map(({ pid }) => pid)
  expect(pids(0)).toEqual([10, 11, 12, 13, 14])
  expect(pids(13)).toEqual([10, 11, 12])
  expect(treeOf(99, all, () => false)).toEqual([])
})
