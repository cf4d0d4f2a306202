/**
 * `npm run test:slowest`: the ten test files that took longest, by the reports that the suites have left in dist; those of
 * suites that ran at the same time count in full.
 */
import { globSync, readFileSync } from "node:fs"
import { join, relative, resolve } from "node:path"

const root = resolve(import.meta.dirname, "..")

/** What is read of vitest's JSON report; times in milliseconds since the epoch. */
type Report = {
  readonly testResults: readonly { readonly name: string; readonly startTime: number; readonly endTime: number }[]
}

const files = globSync("dist/test-report-*.json", { cwd: root }).flatMap((path) => {
  const { testResults } = JSON.parse(readFileSync(join(root, path), "utf8")) as Report
  return testResults.map(({ name, startTime, endTime }) => ({ name, seconds: (endTime - startTime) / 1000 }))
})
for (const { name, seconds } of files.sort((a, b) => b.seconds - a.seconds).slice(0, 10))
  console.log(`${seconds.toFixed(1).padStart(7)} s  ${relative(root, name)}`)
