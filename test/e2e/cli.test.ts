import { execFile } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { helpText, shells } from "../../src/cli/commands.ts"
import { version } from "../../src/version.ts"
import { callTool, toolText } from "../support/modern.ts"
import { eventually, processesRunning } from "../support/processes.ts"
import { type Reflow, repositoryFile, runReflow, startReflow, target } from "../support/reflow.ts"

const server = repositoryFile("test/fixtures/servers/dual.mjs")

let folder: string
let running: Reflow | undefined
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "reflow-cli-"))
})
afterEach(async () => {
  await running?.stop()
  running = undefined
  rmSync(folder, { recursive: true, force: true })
})

test("--help and --version print what they say and nothing else", async () => {
  expect(await runReflow(["--help"])).toEqual({ code: 0, stdout: helpText, stderr: "" })
  expect(await runReflow(["--version"])).toEqual({ code: 0, stdout: `${version}\n`, stderr: "" })
})

test.each([
  [[], "UsageInvalid: Missing: --role"],
  [["--rle", "dev"], "UsageInvalid: Unknown flag --rle; did you mean --role?"],
  [["--role", "dev", "--set", "log.levl=debug"], "--set log.levl: log.levl: unknown key; did you mean log.level?"],
  [["--role", "dev", "--config", "absent.yaml"], "absent.yaml: does not exist"],
  [["--role", "gateway", "--set", "kubernetes.enabled=false"], "kubernetes.enabled"],
])("wrong use is exit code 2 and a sentence on stderr: %j", async (args, message) => {
  const { code, stdout, stderr } = await runReflow(args)
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" })
  expect(stderr).toContain(message)
  expect(stderr).not.toContain("    at ")
})

test("reflow.yaml of the working directory counts, and config tells which line of it", async () => {
  writeFileSync(join(folder, "reflow.yaml"), "kubernetes:\n  idle_ttl: 7m\n")
  const { code, stdout } = await runReflow(["config"], { cwd: folder, env: { REFLOW_LOG__LEVEL: "warn" } })
  expect(code).toBe(0)
  expect(stdout).toContain("  idle_ttl: 7m # reflow.yaml:2\n")
  expect(stdout).toContain("  level: warn # REFLOW_LOG__LEVEL\n")
})

test("the line of docs/configure.md makes bash complete what the program itself says", async () => {
  const page = readFileSync(repositoryFile("docs/configure.md"), "utf8")
  const [, block = ""] = /<!-- completion -->\n```sh\n([\s\S]*?)```/.exec(page) ?? []
  const lines = block.trimEnd().split("\n")
  expect(lines.map((line) => /reflow completion (\w+)/.exec(line)?.[1])).toEqual(shells)
  const script = `
    program=("$0" "$1"); reflow() { "\${program[@]}" "$@"; }
    ${lines[0]}
    COMP_LINE='reflow --set log.l' COMP_POINT=18; _reflow; printf '%s\\n' "\${COMPREPLY[@]}"`
  const said = await new Promise<string>((done) => {
    const args = ["-c", script, process.execPath, repositoryFile("src/main.ts")]
    execFile("bash", args, { cwd: folder }, (_error, stdout, stderr) => done(stdout + stderr))
  })
  expect(said).toBe("log.level=\n")
})

test("a reader that goes away early is no error", async () => {
  const script = `{ "$0" "$1" config --schema; echo "code $?" >&2; } | true`
  const output = await new Promise<string>((done) => {
    const args = ["-c", script, process.execPath, repositoryFile("src/main.ts")]
    execFile("sh", args, { cwd: folder }, (_error, _stdout, stderr) => done(stderr))
  })
  expect(output).toBe("code 0\n")
})

test("a token of the command line is the gateway's, whichever of the two was first", async () => {
  const state = join(folder, "state")
  const { code, stdout } = await runReflow([
    "token",
    "--subject",
    "alice",
    "--for",
    "mcp",
    "--set",
    `dev.state_dir=${state}`,
  ])
  expect(code).toBe(0)
  expect(stdout).toMatch(/^\S+\n$/)
  const reflow = await startReflow({ targets: target("a", ["node", server]), set: { "dev.state_dir": state } })
  running = reflow
  expect(await toolText(`${reflow.url}/mcp/a`, stdout.trim(), "pid")).toMatch(/^\d+$/)
  expect(
    (await fetch(`${reflow.url}/api/whoami`, { headers: { authorization: `Bearer ${stdout.trim()}` } })).status,
  ).toBe(401)
})

describe.runIf(process.platform === "linux")("the end of the program", () => {
  /** Starts the program with a call on its way. */
  const startBusy = async (mark: string, env: Readonly<Record<string, string>> = {}) => {
    const reflow = await startReflow({ targets: target("a", ["node", server, mark]), env })
    running = reflow
    const token = await reflow.token("alice")
    const url = `${reflow.url}/mcp/a`
    await toolText(url, token, "pid")
    const call = callTool(url, token, "slow", { seconds: 60 }).catch(() => undefined)
    await eventually(() => reflow.output().includes("mcp request"), 5_000, "the first call is in the log")
    const ended = new Promise<number | null>((done) => reflow.process.once("exit", done))
    return {
      reflow,
      call,
      ended,
      stopping: () => eventually(() => reflow.output().includes('"stopping"'), 5_000, "it stops"),
    }
  }

  test("two signals at once, as npm and a terminal send them, are one: it drains and ends with 0", async () => {
    const mark = `cli-once-${process.pid}`
    const { reflow, ended } = await startBusy(mark)
    reflow.process.kill("SIGINT")
    // another one, since the system may deliver two equal signals as one
    reflow.process.kill("SIGTERM")
    expect(await ended).toBe(0)
    expect(reflow.output()).toContain('"stopped"')
    expect(processesRunning(mark)).toEqual([])
  })

  test("a second signal later ends it at once, and its servers with it", async () => {
    const mark = `cli-twice-${process.pid}`
    const { reflow, ended, stopping } = await startBusy(mark)
    reflow.process.kill("SIGINT")
    await stopping()
    // two signals within a second are one key press
    await new Promise((resolve) => setTimeout(resolve, 1_100))
    reflow.process.kill("SIGINT")
    expect(await ended).toBe(1)
    expect(reflow.output()).toContain("ending at once")
    await eventually(() => processesRunning(mark).length === 0, 5_000, "its servers end")
  })

  test("an error that nobody caught is logged and ends it with 1, and its servers with it", async () => {
    const mark = `cli-thrown-${process.pid}`
    const bomb = "data:text/javascript,process.on('SIGUSR2',()=>{throw new Error('boom')})"
    const { reflow, ended } = await startBusy(mark, { NODE_OPTIONS: `--import "${bomb}"` })
    reflow.process.kill("SIGUSR2")
    expect(await ended).toBe(1)
    const line =
      reflow
        .output()
        .split("\n")
        .find((each) => each.includes("boom")) ?? "{}"
    expect(JSON.parse(line)).toMatchObject({ level: "error", error: { message: "boom" } })
    await eventually(() => processesRunning(mark).length === 0, 5_000, "its servers end")
  })
})
