/**
 * `npm test`: type check, lint, then unit, integration and e2e tests. Arguments go to vitest (`npm test -- placement`).
 *
 * Prints one line per step and, last, `N passed, N failed`; type check and lint count as one test each. Every suite
 * ends with such a line, and .ci/run adds them up.
 */
import { spawn } from "node:child_process"
import { mkdir, readFile, rm } from "node:fs/promises"
import { delimiter, join, resolve } from "node:path"

type Result = { readonly step: string; readonly passed: number; readonly failed: number; readonly seconds: number }

const root = resolve(import.meta.dirname, "..")
const report = join(root, "dist/test-report.json")
const env = { ...process.env, PATH: `${join(root, "node_modules/.bin")}${delimiter}${process.env.PATH}` }

/** Runs a command in the repository to its end, its output shown as it comes; resolves with true if it succeeded. */
const succeeds = (command: string, args: readonly string[]): Promise<boolean> =>
  new Promise((done) => {
    const child = spawn(command, args, { cwd: root, env, stdio: "inherit" })
    child.on("error", (error) => {
      console.error(`${command}: ${error.message}`)
      done(false)
    })
    child.on("close", (code) => done(code === 0))
  })

const timed = async (step: string, run: () => Promise<Pick<Result, "passed" | "failed">>): Promise<Result> => {
  const start = performance.now()
  return { step, ...(await run()), seconds: (performance.now() - start) / 1000 }
}

/** A command that counts as one test. */
const check = (step: string, command: string, args: readonly string[]): Promise<Result> =>
  timed(step, async () => ((await succeeds(command, args)) ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 }))

/** Vitest, counted by its own report. A file that does not load, or an error outside a test, is a failure too. */
const runTests = (projects: readonly string[], args: readonly string[]): Promise<Result> =>
  timed("tests", async () => {
    await mkdir(join(root, "dist"), { recursive: true })
    await rm(report, { force: true })
    const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`]
    const chosen = projects.map((project) => `--project=${project}`)
    const ok = await succeeds("vitest", ["run", ...chosen, ...reporters, ...args])
    const text = await readFile(report, "utf8").catch(() => '{"numPassedTests":0,"numFailedTests":0}')
    const { numPassedTests, numFailedTests } = JSON.parse(text) as { numPassedTests: number; numFailedTests: number }
    return { passed: numPassedTests, failed: ok ? numFailedTests : Math.max(numFailedTests, 1) }
  })

const results = [
  ...(await Promise.all([
    check("type check", "tsc", ["-p", "."]),
    check("lint", "biome", ["check", "--error-on-warnings"]),
  ])),
  await runTests(["unit", "integration", "e2e"], process.argv.slice(2)),
]
const passed = results.reduce((sum, result) => sum + result.passed, 0)
const failed = results.reduce((sum, result) => sum + result.failed, 0)
for (const result of results)
  console.log(
    `${result.step.padEnd(12)}${result.passed} passed, ${result.failed} failed, ${result.seconds.toFixed(1)} s`,
  )
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
