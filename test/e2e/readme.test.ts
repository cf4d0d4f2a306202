import { execFile, spawn } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { processesWith } from "../support/processes.ts"
import { repositoryFile } from "../support/reflow.ts"

/** The README's command blocks, by the name in the comment before each. */
const blocks = new Map(
  [...readFileSync(repositoryFile("README.md"), "utf8").matchAll(/<!-- test: (\w+) -->\n```sh\n([\s\S]*?)```/g)].map(
    (match) => [match[1] ?? "", match[2] ?? ""],
  ),
)
const home = mkdtempSync(join(tmpdir(), "reflow-readme-"))
let port = 0
let server: ReturnType<typeof spawn>
let started = ""

/** Port 8080 may be taken on the machine of the test: everything else is run as it stands. */
const environment = () => ({ ...process.env, HOME: home, REFLOW_GATEWAY__LISTEN: `127.0.0.1:${port}` })
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
  const command = (blocks.get("start") ?? "").split("\n").find((line) => line.startsWith("npm start")) ?? "false"
  server = spawn("sh", ["-c", `exec ${command}`], { cwd: repositoryFile("."), env: environment(), detached: true })
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

test("npm start prints a URL, tokens for alice, bob and an administrator, and a client configuration", () => {
  for (const word of ["alice", "bob", "admin", "curl", "mcpServers", "notes", "dice"]) expect(started).toContain(word)
  // as it has to be written in a fresh clone
  expect(started).toContain("'npm run --silent reflow -- token --subject NAME' makes more")
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
  expect(stdout).toMatch(/"restarted": ?1/)
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
  expect(processesWith("HOME", home)).toEqual([])
})

test("every command block of the README is run by a test, or says that it is not", () => {
  const all = readFileSync(repositoryFile("README.md"), "utf8").match(/```sh/g) ?? []
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
