import { expect, test } from "vitest"
import { alternate, isWanted, pairRounds } from "../../bench/experiment.ts"
import { Latencies } from "../../bench/latency.ts"
import { findNginx, nginxConfig } from "../../bench/nginx.ts"
import { isSteady, warmUp } from "../../bench/warm-up.ts"

test("rounds alternate their order, and their results keep the order of the list", async () => {
  const ran: string[] = []
  const run = async (name: string) => {
    ran.push(name)
    return name.toUpperCase()
  }
  expect(await alternate(["a", "b"], 0, run)).toEqual(["A", "B"])
  expect(await alternate(["a", "b"], 1, run)).toEqual(["A", "B"])
  expect(ran).toEqual(["a", "b", "b", "a"])
})

test("a figure without its reference makes a round without one", () => {
  expect(pairRounds([1, 2], [3])).toEqual([{ figure: 1, reference: 3 }, { figure: 2 }])
})

test.each([
  ["cpu-64-session", [], true],
  ["cpu-64-session", ["p99", "cpu-64"], true],
  ["start", ["start"], true],
  ["cpu-16-session", ["p99", "cpu-64"], false],
  ["cpu-16-session", ["cpu-1"], false],
])("a row %s is wanted by --only %j: %s", (id, only, wanted) => {
  expect(isWanted(id, only)).toBe(wanted)
})

test.each([
  ["the last ones differ by little", [300, 100, 103, 101], true],
  ["one of the last differs", [100, 100, 106], false],
  ["there are too few", [100, 100], false],
])("figures stand still or not: %s", (_name, figures, steady) => {
  expect(isSteady(figures)).toBe(steady)
})

test("a warm-up ends when the figure stands still, or when it has taken too long", async () => {
  const falling = [300, 200, 120, 101, 100, 99, 98]
  expect(await warmUp(async () => falling.shift() ?? 0)).toEqual({
    figures: [300, 200, 120, 101, 100, 99],
    isSteady: true,
  })
  let grows = 1
  const endless = await warmUp(async () => (grows *= 2))
  expect(endless).toMatchObject({ isSteady: false })
  expect(endless.figures).toHaveLength(15)
})

test("quantiles are times that occurred, however many there are", () => {
  const times = new Latencies()
  expect(times.quantiles(0.5)).toEqual([Number.NaN])
  for (let time = 100_000; time > 0; time--) times.add(time)
  expect(times.quantiles(0.5, 0.99, 1)).toEqual([50_000, 99_000, 100_000])
})

test("nginx is not found where it is not, and its configuration names no place outside of its folder", () => {
  const config = nginxConfig("/tmp/x", 9_000, "127.0.0.1:8080")
  const paths = [...config.matchAll(/(?:path|pid) (\S+);/g)].map(([, path]) => path ?? "")
  expect(paths).toHaveLength(6)
  expect(paths.every((path) => path.startsWith("/tmp/x/"))).toBe(true)
  expect(findNginx("/nowhere") ?? "/usr/sbin/nginx").toMatch(/sbin\/nginx$/)
})
