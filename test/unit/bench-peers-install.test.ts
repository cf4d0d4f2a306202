import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, onTestFinished, test } from "vitest"
import { parse } from "yaml"
import { reasonIn, runCommand } from "../../bench/peers/command.ts"
import { contextForge } from "../../bench/peers/contextforge.ts"
import { supergateway } from "../../bench/peers/npm-peers.ts"
import type { Scene } from "../../bench/peers/peer.ts"
import { type Pin, pins } from "../../bench/peers/pin.ts"
import { fitsRange } from "../../bench/peers/python.ts"
import { choosePeers, roster } from "../../bench/peers/roster.ts"
import { vmcp, vmcpConfiguration } from "../../bench/peers/toolhive.ts"

const scene = (more: Partial<Scene> = {}): Scene => ({
  installed: "/cache/peer",
  scratch: "/scratch",
  port: 9_000,
  upstream: "http://127.0.0.1:8080/mcp",
  server: "/it's/bench/server.ts",
  secret: "c2VjcmV0IHNlY3JldCBzZWNyZXQ=",
  ...more,
})

test("each pin names one exact version and a licence", () => {
  for (const pin of Object.values<Pin>(pins)) {
    expect(pin.version).toMatch(/^v?\d+\.\d+\.\d+$/)
    expect(pin.licence).not.toBe("")
  }
})

test("peers are chosen by name, in the order of the roster", () => {
  expect(choosePeers([])).toBe(roster)
  expect(choosePeers(["fastmcp", "vmcp"]).map(({ name }) => name)).toEqual(["vmcp", "fastmcp"])
  expect(() => choosePeers(["nginx"])).toThrow('there is no peer "nginx"; there are: thv proxy, vmcp')
})

test.each([
  ["3.12\n", { from: 12, below: 14 }, true],
  ["3.13", { from: 12, below: 14 }, true],
  ["3.14", { from: 12, below: 14 }, false],
  ["3.9", { from: 11 }, false],
  ["3.20", { from: 11 }, true],
  ["2.7", { from: 11 }, false],
  ["", { from: 11 }, false],
])("Python %j fits %j: %s", (version, range, expected) => {
  expect(fitsRange(version, range)).toBe(expected)
})

test("the reason of a failure is the end of what was printed, in one line of bounded length", () => {
  expect(reasonIn("fetching\n\nnpm error 404\nnpm error not found\nnpm notice new version\n")).toBe(
    "npm error 404 npm error not found",
  )
  expect(reasonIn("x".repeat(10_000)).length).toBeLessThan(500)
})

const signal = AbortSignal.timeout(20_000)
const options = { cwd: tmpdir(), limitMs: 10_000, signal }

test("a command's end decides whether it succeeded", async () => {
  await expect(runCommand("sh", ["-c", "echo fine"], options)).resolves.toBe("fine\n")
  await expect(runCommand("sh", ["-c", "echo broken >&2; exit 3"], options)).rejects.toThrow("sh failed: broken")
  await expect(runCommand("/does/not/exist", [], options)).rejects.toThrow("could not be started")
})

test("a command that takes too long, or is interrupted, is killed with what it has started", async () => {
  const endless = ["-c", "sleep 60 & wait"]
  await expect(runCommand("sh", endless, { ...options, limitMs: 50 })).rejects.toThrow("took longer than 0.05 s")
  const interrupted = { ...options, signal: AbortSignal.timeout(50) }
  await expect(runCommand("sh", endless, interrupted)).rejects.toThrow("it was interrupted")
})

test("the server's command is one word of a shell each, whatever its path", async () => {
  const { process: started } = await supergateway.launch(scene())
  const command = started.args[started.args.indexOf("--stdio") + 1] ?? ""
  await expect(runCommand("sh", ["-c", `printf '%s\\n' ${command}`], options)).resolves.toBe(
    `${process.execPath}\n/it's/bench/server.ts\n--stdio\n`,
  )
})

test("vmcp is configured with the server's address alone", async () => {
  const scratch = mkdtempSync(join(tmpdir(), "reflow-test-"))
  onTestFinished(() => rmSync(scratch, { recursive: true }))
  const { url } = await vmcp.launch(scene({ scratch }))
  expect(url).toBe("http://127.0.0.1:9000/mcp")
  expect(parse(vmcpConfiguration("http://127.0.0.1:8080/mcp")).backends).toEqual([
    { name: "bench", url: "http://127.0.0.1:8080/mcp", transport: "streamable-http" },
  ])
})

test("ContextForge gets a token that its own key signs, and keys that differ", async () => {
  const { headers, process: started } = await contextForge.launch(scene())
  const [, claims = ""] = (headers?.authorization ?? "").split(".")
  expect(JSON.parse(Buffer.from(claims, "base64url").toString())).toMatchObject({
    iss: "mcpgateway",
    aud: "mcpgateway-api",
  })
  expect(started.env?.JWT_SECRET_KEY).not.toBe(started.env?.AUTH_ENCRYPTION_SECRET)
})
