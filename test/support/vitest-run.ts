import { spawn } from "node:child_process"
import { mkdir, readFile, rm } from "node:fs/promises"
import { delimiter, join, resolve } from "node:path"

const root = resolve(import.meta.dirname, "../..")
const env = { ...process.env, PATH: `${join(root, "node_modules/.bin")}${delimiter}${process.env.PATH}` }

/** How many tests passed and failed, and how many were skipped. */
export type Count = { readonly passed: number; readonly failed: number; readonly skipped?: number }

/** Runs a command in the repository to its end, its output shown as it comes; resolves with true if it succeeded. */
export const succeeds = (command: string, args: readonly string[], more: NodeJS.ProcessEnv = {}): Promise<boolean> =>
  new Promise((done) => {
    const child = spawn(command, args, { cwd: root, env: { ...env, ...more }, stdio: "inherit" })
    child.on("error", (error) => {
      console.error(`${command}: ${error.message}`)
      done(false)
    })
    child.on("close", (code) => done(code === 0))
  })

/** What is read of vitest's JSON report. */
type Report = {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly numPendingTests: number
  readonly testResults: readonly {
    readonly status: string
    readonly assertionResults: readonly { readonly status: string }[]
  }[]
}

/** Files that failed though none of their tests did: they do not load, or a hook failed and their tests were left out. */
const brokenFiles = ({ testResults }: Report): number =>
  testResults.filter(
    ({ status, assertionResults }) =>
      status === "failed" && !assertionResults.some((assertion) => assertion.status === "failed"),
  ).length

/** Vitest, counted by its own report. A file that is broken as a whole, or an error outside a test, is a failure too. */
export const runVitest = async (
  projects: readonly string[],
  args: readonly string[],
  more: NodeJS.ProcessEnv = {},
): Promise<Count> => {
  // suites may run beside each other
  const report = join(root, `dist/test-report-${projects.join("-")}.json`)
  await mkdir(join(root, "dist"), { recursive: true })
  await rm(report, { force: true })
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`]
  const chosen = projects.map((project) => `--project=${project}`)
  const ok = await succeeds("vitest", ["run", ...chosen, ...reporters, ...args], more)
  const nothing = '{"numPassedTests":0,"numFailedTests":0,"numPendingTests":0,"testResults":[]}'
  const text = await readFile(report, "utf8").catch(() => nothing)
  const result = JSON.parse(text) as Report
  const failed = result.numFailedTests + brokenFiles(result)
  const { numPassedTests: passed, numPendingTests: skipped } = result
  return { passed, failed: ok ? failed : Math.max(failed, 1), skipped }
}
