import { spawn } from "node:child_process"
import { once } from "node:events"
import { afterAll, beforeAll, expect, test } from "vitest"
import { echoed, modernCall, openSession, sessionCall, streamRequest } from "../../bench/calls.ts"
import { type LoadGenerator, startGenerator } from "../../bench/load.ts"
import { freePort } from "../../bench/ports.ts"
import { parseResident, readProc } from "../../bench/proc.ts"
import { startProcess } from "../../bench/process.ts"
import { type RunningProxy, startProxy, startServer } from "../../bench/stage.ts"
import { openStreams } from "../../bench/streams.ts"
import { eventually, processesRunning } from "../support/processes.ts"
import { repositoryFile } from "../support/reflow.ts"

let server: Awaited<ReturnType<typeof startServer>>
let pipe: RunningProxy
let generator: LoadGenerator

beforeAll(async () => {
  server = await startServer()
  pipe = await startProxy("pipe.ts", server.origin)
  generator = startGenerator()
})
afterAll(async () => {
  await generator?.close()
  await pipe?.process.stop()
  await server?.process.stop()
})

/** An argument of the processes that this test lets a process start, and less than such a process has resident. */
const mark = "started-by-bench-load-test"
const childBytes = 15 * 2 ** 20
const ownResident = (pid: number): number => parseResident(readProc(pid, "status"))

const few = { connections: 3, seconds: 0.1 }

test("a load is answered, counted, and costs its process CPU time and memory", async () => {
  const result = await generator.run({ ...modernCall(pipe), ...few, contains: echoed, process: server.process })
  expect(result.requests).toBeGreaterThan(few.connections)
  expect(result.p99).toBeGreaterThanOrEqual(result.p50)
  expect(result.cpu).toBeGreaterThanOrEqual(0)
  expect(server.process.cpu()).toBeGreaterThan(0)
  expect(server.process.resident()).toBeGreaterThan(2 ** 20)
})

test("a paced load sends as many requests as were due", async () => {
  const { requests } = await generator.run({ ...modernCall(pipe), connections: 8, seconds: 0.3, perSecond: 100 })
  expect(requests).toBeGreaterThan(0)
  expect(requests).toBeLessThanOrEqual(31)
})

test("a load fails on another status, on a body without the text, and on a refused connection", async () => {
  const call = { ...modernCall(pipe), ...few }
  await expect(generator.run({ ...call, status: 202 })).rejects.toThrow("answered with 200")
  await expect(generator.run({ ...call, contains: "no such text" })).rejects.toThrow("does not contain")
  const url = `http://127.0.0.1:${await freePort()}/mcp`
  await expect(generator.run({ ...call, url })).rejects.toThrow("ECONNREFUSED")
  // the generator goes on
  await generator.run(call)
})

test("a session opens at the server, which refuses ids that it did not issue", async () => {
  const endpoint = { url: `${server.origin}/mcp` }
  const session = await openSession(endpoint)
  await generator.run({ ...sessionCall(endpoint, session), ...few, contains: echoed })
  const wrong = sessionCall(endpoint, { ...session, "mcp-session-id": "of-another-server" })
  await expect(generator.run({ ...wrong, ...few })).rejects.toThrow("answered with 404")
})

test("streams open through the pipe, and end with their server", async () => {
  const own = await startServer()
  const streams = await openStreams([streamRequest({ url: `${own.origin}/mcp` }, {})], 20)
  await own.process.stop()
  await eventually(() => streams.lost() === 20, 10_000, "all streams end")
  expect(() => streams.close()).toThrow("20 streams were lost")
  const through = await openStreams([streamRequest(pipe, {})], 20)
  expect(() => through.close()).not.toThrow()
})

test("a process that ends before it is ready is reported with what it has printed", async () => {
  const args = ["-e", "console.log('no licence'); process.exit(3)"]
  const started = startProcess({ command: process.execPath, args, ready: { port: await freePort() } })
  await expect(started).rejects.toThrow("no licence")
})

test("a program that does not exist is reported", async () => {
  const started = startProcess({ command: "/nowhere/program", args: [], ready: { port: 1 } })
  await expect(started).rejects.toThrow("/nowhere/program could not be started")
})

test("what a process has started counts, except what stands apart, and ends with it", async () => {
  const port = await freePort()
  const child = `require("node:child_process").spawn(process.execPath, ["-e", "setInterval(() => {}, 1e3)", "${mark}"])`
  const listen = `require("node:net").createServer().listen(${port}, "127.0.0.1")`
  const options = { command: process.execPath, args: ["-e", `${child};${listen}`], ready: { port } }
  const whole = await startProcess(options)
  await eventually(() => whole.resident() > ownResident(whole.pid) + childBytes, 10_000, "the child counts")
  await whole.stop()
  expect(processesRunning(mark)).toEqual([])
  const apart = await startProcess({ ...options, apart: mark })
  const runs = () => processesRunning(mark).some(({ pid }) => ownResident(pid) > childBytes)
  await eventually(runs, 10_000, "the child runs")
  expect(Math.abs(apart.resident() - ownResident(apart.pid))).toBeLessThan(childBytes)
  await apart.stop()
})

test("on stdio the server answers line by line, and ends with its input", async () => {
  const child = spawn(process.execPath, [repositoryFile("bench/server.ts"), "--stdio"], {
    stdio: ["pipe", "pipe", "inherit"],
  })
  let said = ""
  child.stdout.on("data", (chunk) => (said += chunk))
  child.stdin.end('{"jsonrpc":"2.0","method":"notifications/initialized"}\n{"jsonrpc":"2.0","id":1,"method":"ping"}\n')
  await once(child, "close")
  expect(said).toBe('{"jsonrpc":"2.0","id":1,"result":{}}\n')
})
