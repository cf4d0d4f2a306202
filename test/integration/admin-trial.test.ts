import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { parseCommand } from "../../src/cli/flags.ts"
import { loadConfig } from "../../src/config/load.ts"
import { masked } from "../../src/credentials/mask.ts"
import { startDev } from "../../src/roles/dev/dev.ts"
import type { RunningRole } from "../../src/roles/role.ts"
import { repositoryFile, target } from "../support/reflow.ts"

const dual = ["node", repositoryFile("test/fixtures/servers/dual.mjs")]
const everything = [
  "node",
  repositoryFile("node_modules/@modelcontextprotocol/server-everything/dist/index.js"),
  "streamableHttp",
]
const broken = "console.error('no database for ' + process.env.TOKEN); process.exit(3)"
const web = `require("node:http").createServer((_, res) => {
  console.log("asked with " + process.env.TOKEN)
  res.end("<html>" + process.env.TOKEN)
}).listen(process.env.PORT)`

let folder: string
let role: RunningRole<{ readonly url: string }>
let url: string
let printed = ""

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "reflow-trial-"))
  const targets = [
    target("dual", dual, { tools: { allow: ["e*"] } }),
    target("everything", everything),
    target("broken", ["node", "-e", broken], { credentials: [{ name: "TOKEN" }] }),
    target("common", ["node", "-e", broken], { isolationBoundary: "shared" }),
    target("web", ["node", "-e", web], { credentials: [{ name: "TOKEN" }] }),
    target("needy", dual, { credentials: [{ name: "TOKEN", required: true }] }),
    target("paused", dual, { paused: true }),
    target("hidden", dual, { access: { users: ["dev/bob"] } }),
  ]
  writeFileSync(join(folder, "targets.yaml"), targets.join(""))
  const settings = ["gateway.listen=127.0.0.1:0", `dev.state_dir=${join(folder, "state")}`, "log.level=error"]
  const flags = settings.flatMap((each) => ["--set", each])
  const command = parseCommand(["--role", "dev", "--targets", join(folder, "targets.yaml"), ...flags])
  if (command.kind !== "run") throw new Error("not a run")
  const { config } = loadConfig({ settings: command.settings, role: "dev", environment: {} })
  role = startDev({
    config,
    environment: process.env,
    workingDirectory: repositoryFile("."),
    platform: process.platform,
    stdout: { write: (text) => (printed += text) },
    stderr: { write: () => true },
  })
  url = (await role.ready).url
})
afterAll(async () => {
  await role.close()
  rmSync(folder, { recursive: true, force: true })
})

const call = async (method: string, path: string, who: "alice" | "bob" | "admin", body?: object) => {
  const bearer = new RegExp(`^ {2}${who} +(\\S+)$`, "m").exec(printed)?.[1] ?? ""
  const response = await fetch(`${url}/api${path}`, {
    method,
    headers: { authorization: `Bearer ${bearer}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  // biome-ignore lint/suspicious/noExplicitAny: tests look into bodies of any shape
  return { status: response.status, body: (await response.json()) as any }
}
const trial = (name: string, who: "alice" | "bob" | "admin" = "alice") => call("POST", `/targets/${name}/test`, who)

describe("the test of a target", { timeout: 60_000 }, () => {
  test("starts the caller's instance, opens a modern server, and tells its tools and the steps of its start", async () => {
    const first = await trial("dual")
    expect(first, JSON.stringify(first.body)).toMatchObject({
      status: 200,
      body: {
        ok: true,
        started: true,
        era: "modern",
        protocol_version: "2026-07-28",
        server: { name: "dual", version: "1.0.0" },
        tools: ["echo", "elicit", "env"],
        handshake_seconds: expect.any(Number),
      },
    })
    for (const step of ["create", "schedule", "pull", "start", "ready"])
      expect(first.body.timings).toHaveProperty(step, expect.any(Number))
    const again = await trial("dual")
    expect(again.body).toMatchObject({ ok: true, started: false, instance: first.body.instance })
    const { body: own } = await call("GET", `/instances/${first.body.instance}`, "alice")
    expect(own).toMatchObject({ target: "dual", phase: "Ready" })
    expect((await trial("dual", "bob")).body.instance).not.toBe(first.body.instance)
  })
  test("opens a legacy server by initialize", async () => {
    const { body } = await trial("everything")
    expect(body).toMatchObject({ ok: true, era: "legacy", protocol_version: "2025-11-25" })
    expect(body.server.name).toContain("everything")
    expect(body.tools).toContain("echo")
  })
  test("tells of a server that does not start why, and its last words without its secrets", async () => {
    await call("PUT", "/targets/broken/env/me", "alice", { TOKEN: "canary-value" })
    const { status, body } = await trial("broken")
    expect(status).toBe(200)
    expect(body).toMatchObject({ ok: false, error: { step: "start", code: "InstanceFailed" } })
    expect(body.error.reason).not.toBe("")
    expect(body.error.log).toContain(`no database for ${masked}`)
    expect(JSON.stringify(body)).not.toContain("canary")
  })
  test("shows the log of a shared instance to administrators only", async () => {
    expect((await trial("common", "alice")).body).toMatchObject({ ok: false, error: { log: [] } })
    expect((await trial("common", "admin")).body.error.log).toContain("no database for undefined")
  })
  test("tells of what runs and does not speak MCP what it said to which request, and its log", async () => {
    await call("PUT", "/targets/web/env/me", "alice", { TOKEN: "canary-value" })
    const { body } = await trial("web")
    expect(body).toMatchObject({ ok: false, error: { step: "handshake", code: "UpstreamInvalid" } })
    expect(body.error.detail).toContain("initialize")
    expect(body.error).toMatchObject({ status: 200, said: `<html>${masked}` })
    expect(body.error.log).toContain(`asked with ${masked}`)
    expect(JSON.stringify(body)).not.toContain("canary")
  })
  test("names the credential that is missing", async () => {
    const { body } = await trial("needy")
    expect(body).toMatchObject({ ok: false, error: { step: "start", code: "CredentialMissing", log: [] } })
    expect(body.error.detail).toContain("TOKEN")
  })
  test("is refused for targets that are paused, hidden or unknown", async () => {
    expect(await trial("paused")).toMatchObject({ status: 503, body: { code: "TargetPaused" } })
    for (const name of ["hidden", "absent"])
      expect(await trial(name)).toMatchObject({ status: 404, body: { code: "TargetNotFound" } })
    expect((await call("POST", "/targets/dual/test", "alice", { tol: 1 })).status).toBe(422)
  })
  test("gives an instance whose log, while it is followed, ends with it", async () => {
    const { body } = await trial("dual")
    const bearer = /^ {2}alice +(\S+)$/m.exec(printed)?.[1] ?? ""
    const response = await fetch(`${url}/api/instances/${body.instance}/logs?follow=true`, {
      headers: { authorization: `Bearer ${bearer}` },
    })
    const text = response.text()
    const { body: restarted } = await call("POST", "/targets/dual/restart-instances", "admin", { subject: "dev/alice" })
    expect(restarted).toEqual({ restarted: 1, instances: [body.instance] })
    expect(await text).toContain("MCP server on port")
  })
})
