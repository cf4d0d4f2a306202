import { execFile } from "node:child_process"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { z } from "zod"
import { type Revision, runnerFolder } from "./requirements.ts"

/** What the runner is pointed at. */
export type ConformanceOptions = {
  readonly url: string
  readonly revision: Revision
  /** For a gateway; default none. */
  readonly token?: string
}

const Checks = z.array(
  z.object({ id: z.string(), status: z.string(), description: z.string(), errorMessage: z.string().optional() }),
)

/** What the runner found. */
export type Conformance = {
  /** 0 = every required scenario was passed; -1 = it was ended before it was through. */
  readonly code: number
  /** What it printed. */
  readonly output: string
  /** What is wrong with a scenario, one line for each check; empty if it was run and passed. */
  faults(scenario: string): readonly string[]
}

/** The fault of a scenario that the runner did not come to. */
export const notRun = "was not run"

/** Six seconds are usual. What it has found by then is told. */
const longestMs = 50_000

/** Runs the runner in a folder; it exits with 1 when a required scenario fails, which is no error of ours. */
const runIn = (folder: string, { url, revision, token }: ConformanceOptions): Promise<[number, string]> => {
  const preload = token === undefined ? [] : ["--import", join(import.meta.dirname, "authorize.ts")]
  const program = [...preload, join(runnerFolder, "dist/index.js")]
  const args = ["server", "--url", url, "--requirements", revision, "--output-dir", folder]
  const env = {
    PATH: process.env.PATH,
    ...(token === undefined ? {} : { CONFORMANCE_ORIGIN: new URL(url).origin, CONFORMANCE_TOKEN: token }),
  }
  return new Promise((resolve, reject) => {
    const options = { cwd: folder, env, maxBuffer: 64 * 2 ** 20, timeout: longestMs }
    execFile(process.execPath, [...program, ...args], options, (error, stdout, stderr) => {
      const code = error === null ? 0 : (error.code ?? -1)
      // a name, such as ENOENT: the runner could not even be started
      if (typeof code === "string") reject(error)
      else resolve([code, `${stdout}${stderr}`])
    })
  })
}

/** The runner's folders are called `server-<scenario>-<time>`. */
const folderName = /^server-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z$/

const readFaults = (file: string): readonly string[] => {
  const checks = Checks.parse(JSON.parse(readFileSync(file, "utf8")))
  const faults = checks
    .filter(({ status }) => status !== "SUCCESS" && status !== "INFO")
    .map(({ id, status, errorMessage, description }) => `${status} ${id}: ${errorMessage ?? description}`)
  return checks.some(({ status }) => status === "SUCCESS") ? faults : [...faults, "no check succeeded"]
}

/** Runs the official conformance runner over all scenarios of a revision; its results stay in no folder. */
export const runConformance = async (options: ConformanceOptions): Promise<Conformance> => {
  const folder = mkdtempSync(join(tmpdir(), "reflow-conformance-"))
  try {
    const [code, output] = await runIn(folder, options)
    const faults = new Map<string, readonly string[]>()
    for (const name of readdirSync(folder)) {
      const [, scenario] = folderName.exec(name) ?? []
      const file = join(folder, name, "checks.json")
      if (scenario !== undefined && existsSync(file)) faults.set(scenario, readFaults(file))
    }
    return { code, output, faults: (scenario) => faults.get(scenario) ?? [notRun] }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
