/**
 * The operator is interrupted at each single call of each thing it does, before the call reached the API server or after
 * it took effect, and is started anew or goes on: the sum of objects is right every time.
 */
import { describe, expect, it } from "vitest"
import type { Call, Intercept } from "../../src/adapters/memory/client.ts"
import { type MCPInstance, mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import { AppError } from "../../src/errors.ts"
import { disorder } from "../support/operator-invariants.ts"
import { type Scenario, scenarios } from "../support/operator-scenarios.ts"
import { operatorWorld } from "../support/operator-world.ts"

const namespace = "reflow"

/** How the operator is interrupted, and what comes after. */
const modes = {
  "is killed before it": { answered: false, killed: true },
  "is killed after it, before its answer": { answered: true, killed: true },
  "loses its answer, and goes on": { answered: true, killed: false },
} as const
type Mode = (typeof modes)[keyof typeof modes]

const isCounted = ({ verb, kind }: Call): boolean => verb !== "watch" && (verb !== "list" || kind === "Event")

/** Meets the `count`-th call. One who is killed makes no further one. */
const interruptAt = (count: number, { answered, killed }: Mode, amid: () => Promise<void>) => {
  let calls = 0
  let met: Call | undefined
  const lost = () => new AppError("ClusterUnavailable", { detail: "The API server does not answer." })
  const intercept: Intercept = {
    call: async (call, run) => {
      if (!isCounted(call)) return run()
      if (met !== undefined && killed) throw lost()
      calls += 1
      if (calls !== count) return run()
      met = call
      if (answered) await run()
      await amid()
      throw lost()
    },
  }
  return { intercept, met: () => met }
}

const toLine = ({ metadata, status }: MCPInstance): string => `${metadata.name} ${status?.phase} ${status?.starts ?? 0}`

/** Plays a scenario with an interruption at one call; resolves with that call, undefined if there are not so many. */
const play = async (scenario: Scenario, count: number, mode: Mode): Promise<Call | undefined> => {
  const world = operatorWorld()
  try {
    const { settings, before, cause, during, amid, after, settled, sum } = scenario
    const first = await world.start(settings)
    await before?.(world)
    await first.close()
    const { intercept, met } = interruptAt(count, mode, async () => amid?.(world))
    const second = await world.start(settings, intercept)
    await cause(world)
    await world.pass(during)
    if (mode.killed) {
      await second.close()
      await world.start(settings)
    }
    await after?.(world)
    await world.pass(settled)
    const { items } = await world.cluster.list(mcpInstanceKind, { namespace })
    const starred = sum.some((line) => line.endsWith("*"))
    const lines = items.map(toLine).map((line) => (starred ? line.replace(/\d+$/, "*") : line))
    const where = `at call ${count}: ${JSON.stringify(met())}`
    expect(lines.sort(), where).toEqual(sum)
    expect(await disorder(world.cluster, namespace), where).toEqual([])
    const placed = items.filter(({ status }) => status?.phase !== "Queued").length
    expect(await world.pods(), where).toHaveLength(placed)
    expect(await world.services(), where).toHaveLength(placed)
    return met()
  } finally {
    await world.close()
  }
}

describe.each(Object.entries(scenarios))("in %s", (_, scenario) => {
  it.each(Object.entries(modes))(
    "an operator that %s, at any of its calls, leaves everything right",
    async (_, mode) => {
      let count = 1
      while ((await play(scenario, count, mode)) !== undefined) count += 1
      expect(count, "calls that were met").toBeGreaterThan(1)
    },
  )
})
