import { execFile } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { promisify } from "node:util"
import { describe, expect, test } from "vitest"
import type { Door } from "./family.ts"
import type { Measured } from "./measure.ts"

const root = join(import.meta.dirname, "../..")
const run = promisify(execFile)

/** A family that has not been read by then grows exponentially, or nearly so. */
const patienceMs = 60_000
/** One input may cost so many times what small ones of the same size do; quadratic work costs 64 times as much. */
const slack = 4
/** What no measurement can tell from nothing. */
const noiseMs = 15
/** Longest turn of the event loop at a door's limit, milliseconds of CPU: nobody else's request waits longer. */
const longestTurnMs = 500

const modules = readdirSync(join(import.meta.dirname, "doors"))
  .filter((file) => file.endsWith(".ts"))
  .map((file) => file.slice(0, -".ts".length))
const loaded = await Promise.all(
  modules.map(async (module) => ({ module, doors: (await import(`./doors/${module}.ts`)).doors as readonly Door[] })),
)

const measure = async (module: string, door: string, family: string): Promise<Measured> => {
  const args = [join(import.meta.dirname, "measure.ts"), module, door, family]
  const { stdout } = await run(process.execPath, args, { timeout: patienceMs, killSignal: "SIGKILL" })
  return JSON.parse(stdout)
}

for (const { module, doors } of loaded)
  for (const door of doors)
    describe(door.name, () => {
      for (const family of door.families)
        test(`${family.name}: costs no more than its size`, { timeout: patienceMs + 10_000 }, async () => {
          const { smallMs, largeMs, turnMs } = await measure(module, door.name, family.name)
          console.log(
            `${door.name}, ${family.name}: ${largeMs.toFixed(0)} ms at once, ${smallMs.toFixed(0)} ms in parts, longest turn ${turnMs.toFixed(0)} ms`,
          )
          expect(largeMs, "CPU of one input of the largest size").toBeLessThan(slack * smallMs + noiseMs)
          expect(turnMs, "CPU of the longest turn").toBeLessThan(longestTurnMs)
        })
    })

describe("the table of doors in docs/security.md", () => {
  const page = readFileSync(join(root, "docs/security.md"), "utf8")
  const section = page.split("\n## ").find((each) => each.startsWith("Parsers of untrusted text\n")) ?? ""
  const rows = section
    .split("\n")
    .filter((line) => line.startsWith("| "))
    .slice(1)
    .map((line) => line.split("|").map((cell) => cell.trim()))
    .map(([, name, limit]) => `${name}: ${limit}`)

  test("names each door of this suite with its limit, and no other", () => {
    const known = loaded.flatMap(({ doors }) => doors.map(({ name, limit }) => `${name}: ${limit}`))
    expect(rows.toSorted()).toEqual(known.toSorted())
  })
})
