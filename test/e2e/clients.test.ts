import { execFile } from "node:child_process"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { connectV1, connectV2, type Peer } from "../support/mcp-peers.ts"
import { type Reflow, repositoryFile, startReflow } from "../support/reflow.ts"
import { startServing } from "../support/serving.ts"

const everything = ["mcp-server-everything", "streamableHttp"]
const dual = ["node", repositoryFile("test/fixtures/servers/dual.mjs")]

const serving = startServing()
let reflow: Reflow
let token: string

beforeAll(async () => {
  const targets = await Promise.all([
    serving.target("everything", everything),
    serving.target("narrow", everything, { tools: { allow: ["*"], deny: ["get-env"] } }),
    serving.target("dual", dual),
  ])
  reflow = await startReflow({ targets: targets.join("") })
  token = await reflow.token("alice")
})
afterAll(async () => {
  await reflow?.stop()
  await serving.close()
})

const at = (name: string) => `${reflow.url}/mcp/${name}`

const legacyPeers: readonly [string, string, string, () => Promise<Peer>][] = [
  ["the 1.x client", "", "everything", () => connectV1(at("everything"), token)],
  ["the 2.x client in auto mode", "", "everything", () => connectV2("auto", at("everything"), token)],
  ["the 1.x client", " and a tool policy", "narrow", () => connectV1(at("narrow"), token)],
  ["the 2.x client in auto mode", " and a tool policy", "narrow", () => connectV2("auto", at("narrow"), token)],
]

describe.each(legacyPeers)("%s with server-everything through the gateway%s", (_name, _how, targetName, connect) => {
  let peer: Peer
  beforeAll(async () => {
    peer = await connect()
  })
  afterAll(async () => {
    await peer?.close()
  })

  test("agrees on the legacy revision and lists the tools", async () => {
    expect(peer.revision()).toBe("2025-11-25")
    const tools = await peer.tools()
    expect(tools).toContain("echo")
    expect(tools.includes("get-env")).toBe(targetName === "everything")
  })
  test("calls a tool", async () => {
    expect(await peer.call("echo", { message: "hi" })).toMatchObject({ text: "Echo: hi", error: false })
  })
  test("hears of progress while a tool runs", async () => {
    const { text, progress } = await peer.call("trigger-long-running-operation", { duration: 0.4, steps: 4 })
    expect(text).toContain("completed")
    expect(progress).toBe(4)
  })
  test("answers a sampling request of the server", async () => {
    expect((await peer.call("trigger-sampling-request", { prompt: "x", maxTokens: 9 })).text).toContain("sampled!")
  })
  test("answers an elicitation request of the server", async () => {
    expect((await peer.call("trigger-elicitation-request")).text).toContain("Ada")
  })
  test("lists and reads resources", async () => {
    const [first = ""] = await peer.resources()
    expect((await peer.read(first)).length).toBeGreaterThan(0)
  })
  test("gives up a call, and calls on", async () => {
    const leave = new AbortController()
    const args = { duration: 20, steps: 100 }
    const call = peer.call("trigger-long-running-operation", args, leave.signal, () => leave.abort())
    await expect(call).rejects.toThrow()
    expect((await peer.call("echo", { message: "still here" })).text).toBe("Echo: still here")
  })
  test("receives log messages", async () => {
    await peer.setLevel("debug")
    await peer.call("toggle-simulated-logging")
    expect((await peer.notice("notifications/message")).params).toHaveProperty("level")
  })
  test("receives updates of a resource that it subscribed to", async () => {
    const uri = "demo://resource/dynamic/text/1"
    const end = await peer.subscribe(uri)
    await peer.call("toggle-subscriber-updates")
    expect((await peer.notice("notifications/resources/updated")).params).toMatchObject({ uri })
    await end()
  })
})

const dualPeers: readonly [string, string, () => Promise<Peer>][] = [
  ["the 1.x client", "2025-11-25", () => connectV1(at("dual"), token)],
  ["the 2.x client in auto mode", "2026-07-28", () => connectV2("auto", at("dual"), token)],
  ["the 2.x client pinned to 2026-07-28", "2026-07-28", () => connectV2("2026-07-28", at("dual"), token)],
]

describe.each(dualPeers)("%s with a server of both eras", (_name, revision, connect) => {
  let peer: Peer
  beforeAll(async () => {
    peer = await connect()
  })
  afterAll(async () => {
    await peer?.close()
  })

  test(`agrees on ${revision} and lists the tools`, async () => {
    expect(peer.revision()).toBe(revision)
    expect(await peer.tools()).toEqual(expect.arrayContaining(["echo", "slow", "big", "progress", "sample", "elicit"]))
  })
  test("calls a tool", async () => {
    expect((await peer.call("echo", { message: "hi" })).text).toContain("hi")
  })
  test("hears of progress while a tool runs", async () => {
    expect((await peer.call("progress")).progress).toBe(4)
  })
  test("receives the log messages that it asked for", async () => {
    await peer.setLevel("debug")
    await peer.call("progress")
    expect((await peer.notice("notifications/message")).params).toMatchObject({ level: "info", data: "step 1 of 4" })
  })
  test("receives updates of a resource that it subscribed to", async () => {
    const uri = "test://counter"
    const end = await peer.subscribe(uri)
    await peer.call("touch")
    expect((await peer.notice("notifications/resources/updated")).params).toMatchObject({ uri })
    await end()
  })
  test("gives the server a sample and an answer of the user", async () => {
    expect((await peer.call("sample")).text).toContain("sampled!")
    expect((await peer.call("elicit")).text).toContain("Ada")
  })
  test("receives an answer of 5 MB whole", async () => {
    expect((await peer.call("big")).text.length).toBeGreaterThanOrEqual(5_000_000)
  })
})

/** Runs the inspector's command line, which is a client of its own. */
const inspector = (...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> =>
  new Promise((done) => {
    const all = ["--cli", ...args, "--header", `Authorization: Bearer ${token}`]
    execFile(
      repositoryFile("node_modules/.bin/mcp-inspector"),
      all,
      { env: { ...process.env, HOME: reflow.folder } },
      (error, stdout, stderr) => done({ code: error === null ? 0 : 1, stdout, stderr }),
    )
  })

describe.each(["everything", "dual"])("the inspector's command line with %s", (name) => {
  test("lists and calls tools", async () => {
    const list = await inspector(at(name), "--transport", "http", "--method", "tools/list")
    expect(list.stderr + list.stdout).toContain('"echo"')
    const call = await inspector(
      at(name),
      "--transport",
      "http",
      "--method",
      "tools/call",
      "--tool-name",
      "echo",
      "--tool-arg",
      "message=hi",
    )
    expect(call.stdout).toContain("hi")
    expect(call.code).toBe(0)
  })
})
