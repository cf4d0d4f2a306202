import { execFile, spawn } from "node:child_process"
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, expect, test } from "vitest"
import { eventually, processesWith } from "../support/processes.ts"
import { repositoryFile } from "../support/reflow.ts"

const readme = readFileSync(repositoryFile("README.md"), "utf8")
/** The README's command blocks, by the name in the comment before each. */
const blocks = new Map(
  [...readme.matchAll(/<!-- test: (\w+) -->\n```sh\n([\s\S]*?)```/g)].map((match) => [match[1] ?? "", match[2] ?? ""]),
)
const home = mkdtempSync(join(tmpdir(), "reflow-readme-"))
let port = 0
let server: ReturnType<typeof spawn>
let started = ""

/** Port 8080 may be taken on the machine of the test: everything else is run as it stands. */
const environment = () => ({
  ...process.env,
  HOME: home,
  XDG_STATE_HOME: "",
  REFLOW_GATEWAY__LISTEN: `127.0.0.1:${port}`,
})

/** The line of the first screen that ends with this npm command, without its comment. */
const firstScreen = (command: string): string => {
  const lines = (blocks.get("start") ?? "").split("\n").map((line) => line.replace(/ +#.*/, ""))
  return lines.find((line) => line.endsWith(`&& ${command}`)) ?? `echo no line ends with ${command}; exit 1`
}

/**
 * A folder with an `npm` before the real one. Its `npm ci` tries the lock in a folder of its own, without network, and
 * leaves the packages that this test runs on alone; its `npm test` tells what would run, instead of running this test again.
 * .ci/run does both in full, in a clean checkout.
 */
const carefulNpm = (real: string): string => {
  const [bin, lock] = [join(home, "bin"), join(home, "lock")]
  for (const folder of [bin, lock]) mkdirSync(folder, { recursive: true })
  for (const name of ["package.json", "package-lock.json"]) copyFileSync(repositoryFile(name), join(lock, name))
  const script = `#!/bin/sh
case "$1" in
  ci) shift; cd "${lock}" && exec "${real}" ci --dry-run --offline --ignore-scripts "$@" ;;
  test) exec "${real}" pkg get scripts.test ;;
  *) exec "${real}" "$@" ;;
esac
`
  writeFileSync(join(bin, "npm"), script)
  chmodSync(join(bin, "npm"), 0o755)
  return bin
}

const careful = async () => {
  const { stdout } = await promisify(execFile)("sh", ["-c", "command -v npm"])
  return { ...environment(), PATH: `${carefulNpm(stdout.trim())}:${process.env.PATH}` }
}
const run = (...names: string[]): Promise<{ code: number; stdout: string; stderr: string }> =>
  new Promise((done) => {
    const script = names.map((name) => blocks.get(name) ?? `echo missing block ${name}; exit 1`).join("\n")
    const text = `set -e\n${script.replaceAll("127.0.0.1:8080", `127.0.0.1:${port}`)}`
    execFile(
      "sh",
      ["-c", text],
      { cwd: repositoryFile("."), env: environment(), maxBuffer: 2 ** 24 },
      (error, stdout, stderr) => done({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    )
  })

beforeAll(async () => {
  const probe = createServer()
  await new Promise<void>((resolve) => probe.listen(0, "127.0.0.1", resolve))
  port = (probe.address() as { port: number }).port
  await new Promise((resolve) => probe.close(resolve))
  const options = { cwd: repositoryFile("."), env: await careful(), detached: true }
  server = spawn("sh", ["-c", firstScreen("npm start")], options)
  await new Promise<void>((resolve, reject) => {
    const look = (chunk: Buffer) => {
      started += chunk
      if (started.includes(`http://127.0.0.1:${port}`)) resolve()
    }
    server.stdout?.on("data", look)
    server.stderr?.on("data", look)
    server.once("exit", (code) => reject(new Error(`npm start ended with ${code}:\n${started}`)))
  })
})
afterAll(() => {
  if (server.exitCode === null && server.signalCode === null) process.kill(-(server.pid ?? 0), "SIGKILL")
  rmSync(home, { recursive: true, force: true })
})

test("the line that tests installs by the lock and runs all that .ci/run runs by that name", async () => {
  const options = { cwd: repositoryFile("."), env: await careful() }
  const { stdout } = await promisify(execFile)("sh", ["-c", firstScreen("npm test")], options)
  expect(stdout.trim().split("\n").at(-1)).toBe('"node test/run.ts"')
  expect(readFileSync(repositoryFile(".ci/run"), "utf8")).toMatch(/^npm ci [\s\S]*^suite npm test$/m)
})

test("what the README says that npm start shows is what it shows", () => {
  const [, text = ""] = /<!-- banner -->\n```text\n([\s\S]*?)```/.exec(readme) ?? []
  const shown = started
    .replaceAll(/eyJhbGciOiJIUzI1NiJ9\.[\w-]+\.[\w-]+/g, "eyJhbGciOiJIUzI1NiJ9…")
    .replaceAll(`127.0.0.1:${port}`, "127.0.0.1:8080")
    .replaceAll(home, "~")
  expect(text.split("\n").length).toBeGreaterThan(10)
  expect(shown).toContain(text.replace(/ …\n$/, " "))
})

test("the command that npm start shows works as it is", async () => {
  const line = started.split("\n").find((each) => each.startsWith("curl ")) ?? "false"
  const { stdout } = await promisify(execFile)("sh", ["-c", line])
  expect(stdout).toContain('"serverInfo":{"name":"dice"')
})

test("npm start prints a URL, tokens for alice, bob and an administrator, and a client configuration", () => {
  for (const word of ["alice", "bob", "admin", "curl", "mcpServers", "notes", "dice"]) expect(started).toContain(word)
  // as it has to be written in a fresh clone
  expect(started).toContain("'npm run --silent reflow -- token --subject NAME' creates more")
})

test("the lines after it list and call tools as alice and as bob, each with a server of their own", {
  timeout: 90_000,
}, async () => {
  const { code, stdout, stderr } = await run("call", "credential", "register")
  expect(code, `${stdout}\n${stderr}`).toBe(0)
  expect(stdout).toContain('"add_note"')
  const processes = [...stdout.matchAll(/process (\d+)/g)].map((match) => match[1])
  expect(processes).toHaveLength(3)
  // alice's first, bob's, and alice's after her credential changed
  expect(new Set(processes).size).toBe(3)
  expect(stdout).toContain("alic")
  expect(stdout).not.toContain("alice-secret")
  expect(stdout).toContain("Echo: hello")
  const keys = [...stdout.matchAll(/API_KEY\W+(key-of-\w+)/g)].map(([, key]) => key)
  expect(keys).toEqual(["key-of-alice", "key-of-bob"])
  expect(stdout).toMatch(/"restarted": ?2/)
})

test("the three forms of the executable answer --help", async () => {
  const { code, stdout, stderr } = await run("forms")
  expect(code, stderr).toBe(0)
  expect(stdout.match(/--role/g)?.length).toBeGreaterThanOrEqual(3)
})

test.runIf(process.platform === "linux")("Ctrl-C ends the gateway and every server that it started", async () => {
  // each process of this test has its HOME, whatever else runs here
  const commands = processesWith("HOME", home).map(({ command }) => command.join(" "))
  for (const name of ["notes.mjs", "dice.mjs"]) expect(commands.some((command) => command.includes(name))).toBe(true)
  const ended = new Promise((done) => server.once("exit", done))
  // as a terminal does: to the whole foreground group
  process.kill(-(server.pid ?? 0), "SIGINT")
  await ended
  // the shell of this test does not wait for npm, as one at a terminal does
  await eventually(() => processesWith("HOME", home).length === 0, 10_000, "nothing of it runs any more")
  // what was made is on the disk, and the folder is free for the next start
  const state = join(home, ".local/state/reflow")
  expect(readdirSync(state).sort()).toEqual(["dev-state.json", "dev-token-key"])
  expect(readFileSync(join(state, "dev-state.json"), "utf8")).toContain('"name": "everything"')
})

test("every command block of the README is run by a test, or says that it is not", () => {
  const all = readme.match(/```sh/g) ?? []
  expect(blocks.size).toBe(all.length)
  expect([...blocks.keys()].sort()).toEqual([
    "build",
    "call",
    "credential",
    "forms",
    "helm",
    "install",
    "never",
    "register",
    "start",
  ])
})
