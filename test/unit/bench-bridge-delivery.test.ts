import { expect, test } from "vitest"
import { deliveries, orderOf, targetOf } from "../../bench/bridge-delivery/deliveries.ts"
import { readFlags } from "../../bench/bridge-delivery/flags.ts"
import { crowdTable, type Round, singleTable } from "../../bench/bridge-delivery/table.ts"
import { partOf } from "../../bench/bridge-delivery/usage.ts"
import { mcpTargetKind } from "../../src/api/kinds/mcp-target.ts"

test("the numbers of Pods are sorted, each once; the defaults are 1, 10, 50 and three rounds", () => {
  expect(readFlags([])).toEqual({ pods: [1, 10, 50], rounds: 3, help: false })
  expect(readFlags(["--pods", "10,3,10", "--rounds", "1"])).toEqual({ pods: [3, 10], rounds: 1, help: false })
})

test.each([
  [["--pods", "0"], "--pods"],
  [["--pods", "1,,3"], "--pods"],
  [["--pods", "1.5"], "--pods"],
  [["--pods", "101"], "--pods"],
  [["--rounds", "many"], "--rounds"],
  [["--rounds", ""], "--rounds"],
  [["--round", "1"], "--round"],
  [["3"], "3"],
])("%j is refused with the name of what is wrong", (args, named) => {
  expect(() => readFlags(args)).toThrow(named)
})

test("every other round has the opposite order of the same deliveries", () => {
  expect(orderOf(0)).toEqual(deliveries)
  expect(orderOf(1)).toEqual(deliveries.toReversed())
  expect(orderOf(2)).toEqual(orderOf(0))
})

test("the targets are valid, and those of stdio servers differ only in the Node that the bridge may use", () => {
  const targets = deliveries.map(targetOf)
  for (const target of targets) expect(mcpTargetKind.schema?.safeParse(target).success).toBe(true)
  const [, first, ...others] = targets
  expect(first?.spec.stdio).toEqual({ node: "/usr/local/bin/node" })
  for (const { spec } of others) expect({ ...first?.spec, stdio: {} }).toEqual(spec)
})

const script = "/app/server.mjs"

test.each([
  ["the bridge on the image's Node", `/bin/node /b/bridge.mjs --role bridge --listen *:8080 -- /bin/node ${script}`],
  ["the bridge on its own", `/b/loader --library-path /b/lib /b/reflow --role bridge -- /bin/node ${script}`],
])("%s is told apart from its server, whose command line it has", (_, command) => {
  expect(partOf(command, script)).toBe("bridge")
})

test("a server is what runs the script, whatever its own arguments are; others of the Pod are neither", () => {
  expect(partOf(`/bin/node ${script} -- --role bridge`, script)).toBe("server")
  expect(partOf("/pause", script)).toBeUndefined()
  expect(partOf("", script)).toBeUndefined()
})

const memory = (pss: number, rss: number) => ({ pss: pss * 2 ** 20, rss: rss * 2 ** 20, anonymous: 0 })
const pod = (pss: number) => ({ bridge: memory(pss, 51), server: memory(20, 45) })
const round = (delivery: string, called: number, ready: readonly number[]): Round => ({
  delivery,
  first: { opened: called / 2, called },
  disk: 154 * 2 ** 20,
  rows: [
    { ready: ready.slice(0, 1), memory: [pod(50)] },
    { ready, memory: ready.map((_, index) => pod(30 + index)) },
  ],
})
const rounds = [round("Copy", 4.5, [1, 2, 3]), round("Copy", 3.5, [10.04, 4, 5]), round("Copy", 6, [6, 7, 8])]

test("a row has the times of all rounds together, and the mean memory of a Pod", () => {
  expect(crowdTable(rounds, ["Copy"]).split("\n").slice(2)).toEqual([
    "| Copy | 1 | 6.00 s | 10.0 s | 10.0 s | 50 MiB | 51 MiB | 20 MiB | 45 MiB |",
    "| Copy | 3 | 5.00 s | 10.0 s | 10.0 s | 31 MiB | 51 MiB | 20 MiB | 45 MiB |",
  ])
})

test("Pods without a bridge have blank cells for it", () => {
  const rows = [{ ready: [2], memory: [{ server: memory(78, 80) }] }]
  const table = crowdTable([{ delivery: "none", first: { opened: 1, called: 2 }, disk: 0, rows }], ["none"])
  expect(table).toContain("| none | 1 | 2.00 s | 2.00 s | 2.00 s |  |  | 78 MiB | 80 MiB |")
})

test("the second table has the medians of both answers, the longest, and the disk of one Pod", () => {
  expect(singleTable(rounds, ["Copy"])).toContain("| Copy | 2.25 s | 4.50 s | 6.00 s | 154 MiB |")
})
