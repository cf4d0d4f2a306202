/**
 * `npm run test:openapi`: schemathesis against the REST API as its own OpenAPI document describes it, with all checks, on
 * `--role dev`. `npm run test:openapi -- SECONDS` runs for longer. Needs Python 3.10 or newer and a registry that
 * answers: without them it is skipped loudly, and with CI set that is a failure.
 *
 * Prints, last, `N passed, N failed`: one for each call.
 */
import { spawn, spawnSync } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { homedir, tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { z } from "zod"
import { startReflow, target } from "./support/reflow.ts"

const root = resolve(import.meta.dirname, "..")
const folder = join(root, "test/schemathesis")
const requirements = join(folder, "requirements.txt")
const seconds = Number(process.argv[2] ?? 75)
/** What is tried is the same each time, as far as time allows; REFLOW_SCHEMATHESIS_SEED tries something else. */
const seed = process.env.REFLOW_SCHEMATHESIS_SEED ?? "20261128"

const run = (command: string, args: readonly string[], timeoutSeconds: number) =>
  spawnSync(command, args, { encoding: "utf8", timeout: timeoutSeconds * 1_000, maxBuffer: 2 ** 28 })

/** Says why it could not run, and ends. */
const giveUp = (why: string): never => {
  const fails = (process.env.CI ?? "") !== ""
  console.warn(`!!! OPENAPI TESTS ${fails ? "FAILED" : "SKIPPED"}: ${why} !!!`)
  console.log(fails ? "0 passed, 1 failed" : "0 passed, 0 failed")
  process.exit(fails ? 1 : 0)
}

/** The pinned schemathesis in a virtual environment of its own, kept between runs. */
const ensureSchemathesis = (): string => {
  const wanted = readFileSync(requirements, "utf8")
  const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "reflow-gateway", "schemathesis")
  const [program, stamp] = [join(cache, "bin/schemathesis"), join(cache, "requirements.txt")]
  if (existsSync(program) && existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return program
  rmSync(cache, { recursive: true, force: true })
  mkdirSync(cache, { recursive: true })
  const made = run("python3", ["-m", "venv", cache], 120)
  if (made.status !== 0) giveUp(`no Python environment can be made: ${made.stderr || made.stdout || made.error}`)
  const pip = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "--retries", "2", "-r", requirements]
  const installed = run(join(cache, "bin/python"), pip, 300)
  if (installed.status !== 0) giveUp(`schemathesis cannot be installed: ${installed.stderr.slice(-2_000)}`)
  writeFileSync(stamp, wanted)
  return program
}

/** What is read of schemathesis' own report. */
const Report = z.object({
  complete: z.boolean(),
  operations: z.object({ tested: z.number() }),
  test_cases: z.object({ generated: z.number() }),
  failures: z.array(z.object({ operations: z.array(z.string()) })),
  errors: z.array(z.unknown()),
})

/** Starts a server with a target and an instance, and tries every call on it. Resolves with the report's text, if there is one. */
const tryCalls = async (program: string, report: string): Promise<string | undefined> => {
  const command = ["node", join(root, "examples/servers/notes.mjs")]
  const targets = target("notes", command, { credentials: [{ name: "TOKEN" }] })
  const reflow = await startReflow({ targets, set: { "log.level": "error" } })
  try {
    await reflow.api("POST", "/api/targets/notes/test")
    const token = await reflow.token("root", { roles: ["admin"] })
    const args = ["--config-file", join(folder, "schemathesis.toml"), "run", `${reflow.url}/api/openapi.json`]
    const how = [
      "--checks=all",
      `--max-time=${seconds}`,
      `--seed=${seed}`,
      "--continue-on-failure",
      "--generation-database=none",
    ]
    const what = ["--header", `Authorization: Bearer ${token}`, "--report=json", `--report-json-path=${report}`]
    const child = spawn(program, [...args, ...how, ...what, "--no-color"], { stdio: "inherit", cwd: tmpdir() })
    const timer = setTimeout(() => child.kill(), (seconds + 120) * 1_000)
    await new Promise((done) => child.once("close", done))
    clearTimeout(timer)
    return existsSync(report) ? readFileSync(report, "utf8") : undefined
  } finally {
    await reflow.stop()
  }
}

const program = ensureSchemathesis()
const work = mkdtempSync(join(tmpdir(), "reflow-schemathesis-"))
const text = await tryCalls(program, join(work, "report.json"))
rmSync(work, { recursive: true, force: true })
const { data } = Report.safeParse(text === undefined ? undefined : JSON.parse(text))
const failing = new Set(data?.failures.flatMap(({ operations }) => operations))
const broken = data === undefined || !data.complete ? 1 : data.errors.length
const failed = failing.size + broken
const passed = Math.max((data?.operations.tested ?? 0) - failing.size, 0)
if (data !== undefined) console.log(`${data.test_cases.generated} requests to ${data.operations.tested} calls`)
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
