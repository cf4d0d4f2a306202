/** The tutorial of docs/plugins.md, command by command, in an empty folder. */
import { type ChildProcess, execFile, spawn } from "node:child_process"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { podFreedoms } from "../../src/config/schema.ts"
import { builtinPlugins } from "../../src/plugin/builtin.ts"
import { repositoryFile } from "../support/reflow.ts"
import { documented, documentedNames } from "../support/tutorial.ts"

let folder: string
let port: number
let program: ChildProcess | undefined

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "reflow-tutorial-"))
  const probe = createServer()
  await new Promise<void>((done) => probe.listen(0, "127.0.0.1", done))
  port = (probe.address() as { port: number }).port
  await new Promise((done) => probe.close(done))
  for (const name of ["tenant.mjs", "reflow.yaml", "everything.yaml"])
    await writeFile(join(folder, name), documented(name))
})
afterAll(async () => {
  if (program?.exitCode === null) {
    const ended = new Promise((done) => program?.once("exit", done))
    program.kill("SIGTERM")
    await ended
  }
  await rm(folder, { recursive: true, force: true })
})

/** `npm install` would bring both: the program, here as executable, and the MCP server. Port 8080 may be taken. */
const environment = () => ({
  PATH: `${repositoryFile("dist")}:${repositoryFile("node_modules/.bin")}:${process.env.PATH}`,
  HOME: folder,
  REFLOW_GATEWAY__LISTEN: `127.0.0.1:${port}`,
})

const run = (mark: string): Promise<{ code: number; stdout: string; stderr: string }> =>
  new Promise((done) => {
    const script = `set -e\n${documented(mark).replaceAll("127.0.0.1:8080", `127.0.0.1:${port}`)}`
    execFile("sh", ["-c", script], { cwd: folder, env: environment() }, (error, stdout, stderr) =>
      done({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    )
  })

test("the check prints what the page says", async () => {
  expect(await run("check")).toEqual({ code: 0, stdout: documented("checked"), stderr: "" })
  expect(await run("check caller")).toEqual({ code: 0, stdout: documented("checked caller"), stderr: "" })
})

test("of four people, two of one tenant share a server, one has another, and one without a tenant has none", async () => {
  program = spawn("sh", ["-c", `exec ${documented("run")}`], { cwd: folder, env: environment() })
  let output = ""
  await new Promise<void>((ready, fail) => {
    const look = (chunk: Buffer) => {
      output += chunk
      if (output.includes("Reflow Gateway")) ready()
    }
    program?.stdout?.on("data", look)
    program?.stderr?.on("data", look)
    program?.once("exit", (code) => fail(new Error(`ended with ${code}:\n${output}`)))
  })
  const { code, stdout, stderr } = await run("ask")
  expect(code, stderr).toBe(0)
  const answers = stdout.trim().split("\n")
  const [alice, bob, carol, mallory] = answers.map((line) => JSON.parse(line))
  expect(answers).toHaveLength(4)
  for (const { ok, instance } of [alice, bob, carol])
    expect({ ok, instance }).toEqual({ ok: true, instance: expect.stringMatching(/^everything-/) })
  expect(bob.instance).toBe(alice.instance)
  expect(carol.instance).not.toBe(alice.instance)
  expect(mallory).toMatchObject({ status: 403, code: "SubjectKeyDenied", detail: expect.stringContaining("'tenant'") })
})

test("the page's tables name every plugin that comes with the program, and every freedom of a pod template", () => {
  expect([...documentedNames("Built-in plugins")].sort()).toEqual(Object.keys(builtinPlugins).sort())
  expect([...documentedNames("What a pod template may take")].sort()).toEqual([...podFreedoms].sort())
})
