/**
 * `npm test`: type check, lint, then unit, integration and e2e tests. Arguments go to vitest (`npm test -- placement`).
 *
 * Prints one line per step and, last, `N passed, N failed`; type check and lint count as one test each. Every suite
 * ends with such a line, and .ci/run adds them up.
 *
 * It should take five minutes at most: who waits longer runs it less often. It says whether it did; that is no failure,
 * since it depends on what else the machine does.
 */
import { type Count, runVitest, succeeds } from "./support/vitest-run.ts"

const limitSeconds = 300

type Result = Count & { readonly step: string; readonly seconds: number }

const timed = async (step: string, run: () => Promise<Count>): Promise<Result> => {
  const start = performance.now()
  return { step, ...(await run()), seconds: (performance.now() - start) / 1000 }
}

/** A command that counts as one test. */
const check = (step: string, command: string, args: readonly string[]): Promise<Result> =>
  timed(step, async () => ((await succeeds(command, args)) ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 }))

const start = performance.now()
const results = [
  ...(await Promise.all([
    check("type check", "tsc", ["-p", "."]),
    check("lint", "biome", ["check", "--error-on-warnings"]),
  ])),
  await timed("tests", () => runVitest(["unit", "integration", "e2e"], process.argv.slice(2))),
]
const seconds = (performance.now() - start) / 1000
const passed = results.reduce((sum, result) => sum + result.passed, 0)
const failed = results.reduce((sum, result) => sum + result.failed, 0)
for (const result of results)
  console.log(
    `${result.step.padEnd(12)}${result.passed} passed, ${result.failed} failed, ${result.seconds.toFixed(1)} s`,
  )
const verdict = seconds <= limitSeconds ? "within" : "BEYOND"
console.log(`It took ${seconds.toFixed(1)} s, ${verdict} the ${limitSeconds} s that it should take on two idle cores.`)
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
