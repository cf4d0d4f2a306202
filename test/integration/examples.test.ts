import { type ChildProcess, spawn } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { request } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { parse } from "yaml"
import { createPorts } from "../../src/adapters/process/ports.ts"
import { brokenRules } from "../../src/admin/validation.ts"
import { mcpTargetKind, targetRules } from "../../src/api/kinds/mcp-target.ts"
import { findDeclarationErrors } from "../../src/credentials/names.ts"
import { connectV1, connectV2, type Peer } from "../support/mcp-peers.ts"
import { answerOf, callTool } from "../support/modern.ts"
import { eventually } from "../support/processes.ts"
import { initialize, post, repositoryFile } from "../support/reflow.ts"
import { giveUpSlow } from "../support/slow-call.ts"

const folder = mkdtempSync(join(tmpdir(), "reflow-examples-"))
const cancelFile = join(folder, "cancelled")
const ports = createPorts()
const running: ChildProcess[] = []

/** Starts a command in the repository's folder; resolves with its URL once it listens. */
const start = async (command: readonly string[], env: Record<string, string> = {}): Promise<string> => {
  const port = await ports.take()
  const [program = "", ...args] = command
  const child = spawn(program, args, {
    cwd: repositoryFile("."),
    env: { PATH: process.env.PATH ?? "", PORT: String(port), ...env },
    stdio: ["ignore", "ignore", "inherit"],
  })
  running.push(child)
  const url = `http://127.0.0.1:${port}/mcp`
  const listens = () =>
    fetch(url).then(
      () => true,
      () => false,
    )
  await eventually(listens, 10_000, `${command.join(" ")} listens`)
  return url
}
const fixture = (name: string) => ["node", repositoryFile(`test/fixtures/servers/${name}.mjs`)]
const manifest = (name: string) => parse(readFileSync(repositoryFile(`examples/targets/${name}.yaml`), "utf8"))

afterAll(() => {
  for (const child of running) child.kill("SIGKILL")
  rmSync(folder, { recursive: true, force: true })
})

type Connect = (url: string) => Promise<Peer>
const peers: readonly [string, Connect][] = [
  ["the 1.x client", (url) => connectV1(url)],
  ["the 2.x client in auto mode", (url) => connectV2("auto", url)],
  ["the 2.x client of the legacy era", (url) => connectV2("legacy", url)],
  ["the 2.x client pinned to 2026-07-28", (url) => connectV2("2026-07-28", url)],
]

describe("the examples", () => {
  test.each(["notes", "dice"])("%s is a target as kubectl would apply it, whose command runs here", (name) => {
    const target = mcpTargetKind.schema?.parse(manifest(name))
    expect(target).toMatchObject({ metadata: { name }, spec: { command: ["node", `examples/servers/${name}.mjs`] } })
    expect(existsSync(repositoryFile(manifest(name).spec.command[1]))).toBe(true)
  })

  test("tickets is a target of a remote server that a cluster takes, and its headers name what it declares", () => {
    const target = parse(readFileSync(repositoryFile("examples/remote/tickets.yaml"), "utf8"))
    expect(mcpTargetKind.schema?.parse(target)).toMatchObject({ metadata: { name: "tickets" } })
    expect(target.spec).toMatchObject({ transportType: "streamable-http", isolationBoundary: "per_user" })
    expect(brokenRules(targetRules, target)).toEqual([])
    expect(findDeclarationErrors(target.spec)).toEqual([])
  })

  test.each(peers)("notes keeps notes for %s", async (_name, connect) => {
    const peer = await connect(await start(manifest("notes").spec.command))
    expect(await peer.tools()).toEqual(["add_note", "list_notes", "whoami"])
    expect((await peer.call("list_notes")).text).toBe("no notes yet")
    await peer.call("add_note", { text: "milk" })
    expect((await peer.call("list_notes")).text).toBe("1. milk")
    expect((await peer.call("whoami")).text).toMatch(/^process \d+, NOTES_TOKEN is not set$/)
    await peer.close()
  })

  test("notes tells four characters of its credential, no more", async () => {
    const url = await start(manifest("notes").spec.command, { NOTES_TOKEN: "alice-secret" })
    const answer = await answerOf(await callTool(url, undefined, "whoami"))
    expect(answer.result.content[0].text).toMatch(/NOTES_TOKEN begins with alic$/)
  })

  test("dice rolls without a session, in both eras", async () => {
    const url = await start(manifest("dice").spec.command)
    const opening = await post(url, undefined, initialize())
    expect(opening.headers.get("mcp-session-id")).toBeNull()
    expect((await answerOf(opening)).result.serverInfo.name).toBe("dice")
    const call = { jsonrpc: "2.0", id: 2, method: "tools/call", params: { name: "roll", arguments: { sides: 6 } } }
    const legacy = await answerOf(await post(url, undefined, call), 2)
    const modern = await answerOf(await callTool(url, undefined, "roll", { sides: 6 }))
    for (const answer of [legacy, modern]) expect(answer.result.content[0].text).toMatch(/^[1-6]$/)
  })

  test("a web page that was pointed at this machine is refused", async () => {
    const url = await start(manifest("dice").spec.command)
    const headers = { host: "attacker.example", "content-type": "application/json" }
    const status = await new Promise((resolve, reject) =>
      request(url, { method: "POST", headers }, (response) => resolve(response.resume().statusCode))
        .once("error", reject)
        .end(JSON.stringify(initialize())),
    )
    expect(status).toBe(403)
  })

  test("a session that the server does not know is answered with 404", async () => {
    const url = await start(manifest("notes").spec.command)
    const list = { jsonrpc: "2.0", id: 1, method: "tools/list" }
    expect((await post(url, undefined, list, { "mcp-session-id": "unknown" })).status).toBe(404)
  })
})

describe("the test server of both eras", () => {
  let url: string
  beforeAll(async () => {
    url = await start(fixture("dual"), { CANCEL_FILE: cancelFile, SHOWN: "yes" })
  })

  test.each(peers)("does all that the tests of the gateway need, with %s", async (_name, connect) => {
    const peer = await connect(url)
    expect(await peer.tools()).toEqual(
      expect.arrayContaining(["echo", "slow", "big", "progress", "sample", "elicit", "env", "pid", "crash", "touch"]),
    )
    expect((await peer.call("echo", { message: "hi" })).text).toBe("Echo: hi")
    expect((await peer.call("sample")).text).toContain("sampled!")
    expect((await peer.call("elicit")).text).toContain("Ada")
    expect((await peer.call("big")).text).toHaveLength(5_000_000)
    expect((await peer.call("progress")).progress).toBe(4)
    expect((await peer.call("env", { names: ["SHOWN"] })).text).toContain('"SHOWN":"yes"')
    const end = await peer.subscribe("test://counter")
    await peer.call("touch")
    expect((await peer.notice("notifications/resources/updated")).params).toMatchObject({ uri: "test://counter" })
    await end()
    await peer.close()
  })

  test.each(peers)("sends log messages to a client that asked for them: %s", async (_name, connect) => {
    const peer = await connect(url)
    await peer.setLevel("debug")
    await peer.call("progress")
    expect((await peer.notice("notifications/message")).params).toMatchObject({ data: "step 1 of 4" })
    await peer.close()
  })

  test("sees within a second that a client of the modern era went away, and that a legacy one cancelled", async () => {
    await giveUpSlow(cancelFile, (signal) => callTool(url, undefined, "slow", { seconds: 20 }, signal))
    const peer = await connectV1(url)
    await giveUpSlow(cancelFile, (signal) => peer.call("slow", { seconds: 20 }, signal))
    await peer.close()
  })

  test("crashes when told to", async () => {
    const other = await start(fixture("dual"))
    await expect(callTool(other, undefined, "crash")).rejects.toThrow()
  })
})

describe("the smaller test servers", () => {
  test("headers tells what it got", async () => {
    const url = await start(fixture("headers"))
    const answer = await answerOf(await post(url, "t", initialize(7)), 7)
    expect(answer).toMatchObject({ id: 7, result: { method: "POST", headers: { authorization: "Bearer t" } } })
  })

  test("legacy-stream sends its head two seconds before its event", async () => {
    const url = await start(fixture("legacy-stream"))
    const began = performance.now()
    const response = await post(url, undefined, initialize())
    expect(performance.now() - began).toBeLessThan(1_500)
    expect((await answerOf(response)).result.serverInfo.name).toBe("legacy-stream")
    expect(performance.now() - began).toBeGreaterThan(1_900)
  })

  test("crash ends with 3 and two lines on stderr", async () => {
    const [program = "", ...args] = fixture("crash")
    const child = spawn(program, args, { stdio: ["ignore", "ignore", "pipe"] })
    let said = ""
    child.stderr.on("data", (chunk) => (said += chunk))
    expect(await new Promise((resolve) => child.once("close", resolve))).toBe(3)
    expect(said.trim().split("\n")).toHaveLength(2)
  })
})
