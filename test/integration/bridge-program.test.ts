import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { expect, onTestFinished, test, vi } from "vitest"
import { open, scripted, textOf } from "../support/bridge.ts"
import { eventually, processesOfGroup } from "../support/processes.ts"

// much work, on machines that may be busy; what is broken fails by other limits
vi.setConfig({ testTimeout: 120_000 })

const entry = join(import.meta.dirname, "../../src/bridge/entry.ts")

/** The bridge as a program. */
type Program = { readonly child: ChildProcess; readonly output: () => string; readonly code: Promise<number | null> }

const start = (args: readonly string[]): Program => {
  const child = spawn(process.execPath, [entry, ...args], { stdio: ["ignore", "pipe", "pipe"] })
  onTestFinished(() => void child.kill("SIGKILL"))
  let text = ""
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding("utf8").on("data", (piece: string) => {
      text += piece
    })
  return { child, output: () => text, code: once(child, "close").then(([code]) => code) }
}

/** Starts a program that serves, and resolves with its address. */
const serving = async (flags: readonly string[], command: readonly string[]) => {
  const program = start(["--role", "bridge", "--listen", "127.0.0.1:0", ...flags, "--", ...command])
  const port = () => /listening on 127\.0\.0\.1:(\d+)/.exec(program.output())?.[1]
  await eventually(() => port() !== undefined, 20_000, "it listens")
  return { ...program, url: `http://127.0.0.1:${port()}/mcp` }
}

test("a bridge that is killed leaves no process if it guards them, not even a stubborn one with children", async () => {
  const bridge = await serving(["--guard"], scripted("stubborn"))
  const sessions = [await open(bridge), await open(bridge)]
  const leaders = await Promise.all(sessions.map(async (session) => Number(await textOf(session, "pid"))))
  await Promise.all(sessions.map((session) => textOf(session, "grandchild")))
  const alive = () => leaders.flatMap((pid) => processesOfGroup(pid))
  // server, its child, and the guard
  expect(alive()).toHaveLength(6)
  process.kill(bridge.child.pid ?? 0, "SIGKILL")
  await eventually(() => alive().length === 0, 10_000, "all of them have ended")
})

test("a guarded server has its own arguments and pipes, and its guard ends with it", async () => {
  const bridge = await serving(
    ["--guard"],
    ["/bin/sh", "-c", 'printf "<%s>" "$@" >&2; exit 9', "sh", "a b", "$(id)", "'"],
  )
  expect(await bridge.code).toBe(9)
  expect(bridge.output()).toContain("[c1] <a b><$(id)><'>")
  const pid = Number(/started, process (\d+)/.exec(bridge.output())?.[1])
  expect(processesOfGroup(pid)).toEqual([])
})

test.for(["SIGTERM", "SIGINT", "SIGHUP"] as const)(
  "%s ends the bridge with its processes, and code 0",
  async (signal) => {
    const bridge = await serving([], scripted())
    const pid = Number(await textOf(await open(bridge), "pid"))
    bridge.child.kill(signal)
    expect(await bridge.code).toBe(0)
    expect(processesOfGroup(pid)).toEqual([])
  },
)

test("a bridge ends with the code of a server that ended unused, or of the signal that ended it", async () => {
  const code = (script: string, ...flags: readonly string[]) =>
    start(["--listen", "127.0.0.1:0", ...flags, "--", "/bin/sh", "-c", script]).code
  expect(await code("exit 5")).toBe(5)
  expect(await code("kill -9 $$")).toBe(137)
  expect(await code("exit 5", "--processes", "shared")).toBe(5)
  expect(await code("kill -9 $$", "--processes", "shared")).toBe(137)
  for (const processes of ["per_session", "shared"]) {
    const flags = ["--listen", "127.0.0.1:0", "--processes", processes]
    expect(await start([...flags, "--", "/does/not/exist"]).code, processes).toBe(127)
  }
})

test.for(["stdout", "stderr"] as const)("a bridge whose %s nobody reads any more serves on", async (name) => {
  const bridge = await serving([], scripted())
  const session = await open(bridge)
  bridge.child[name]?.destroy()
  for (let at = 0; at < 3; at++) expect(await textOf(session, "stderr", { words: "said\n" })).toBe("written")
  // its start is told in the log too
  expect(await textOf(await open(bridge), "echo", { words: "fine" })).toBe("fine")
  bridge.child.kill("SIGTERM")
  expect(await bridge.code).toBe(0)
})

test("SIGTERM ends a bridge that still waits for its shared server", async () => {
  const bridge = start(["--listen", "127.0.0.1:0", "--processes", "shared", "--", ...scripted("hang")])
  const pid = () => Number(/started, process (\d+)/.exec(bridge.output())?.[1])
  await eventually(() => pid() > 0, 20_000, "the server runs")
  bridge.child.kill("SIGTERM")
  expect(await bridge.code).toBe(0)
  await eventually(() => processesOfGroup(pid()).length === 0, 10_000, "the server has ended")
})

test("wrong flags end with code 2 and say what is wrong; --help with 0; a port in use with 1", async () => {
  const wrong = start(["--listen", "8080", "--", "true"])
  expect(await wrong.code).toBe(2)
  expect(wrong.output()).toContain("--listen needs HOST:PORT, not '8080'")
  const help = start(["--help"])
  expect(await help.code).toBe(0)
  expect(help.output()).toContain("Usage: reflow --role bridge")
  const { url } = await serving([], scripted())
  const second = start(["--listen", new URL(url).host, "--", ...scripted()])
  expect(await second.code).toBe(1)
  expect(second.output()).toContain("PortInUse")
})
