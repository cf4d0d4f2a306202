import { execFile } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { createServer } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import type { MCPTargetStatus } from "../../src/api/kinds/mcp-target.ts"
import { hasCode, isAppError } from "../../src/errors.ts"
import type { DevOptions } from "../../src/roles/dev/dev.ts"
import type { RunningRole } from "../../src/roles/role.ts"
import { bannerToken, startDevRole } from "../support/dev-role.ts"
import { toolText } from "../support/modern.ts"
import { repositoryFile, target } from "../support/reflow.ts"

const server = repositoryFile("test/fixtures/servers/dual.mjs")
const notes = target("notes", ["node", server])

let folder: string
let running: RunningRole | undefined
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "reflow-dev-"))
})
afterEach(async () => {
  await running?.close()
  running = undefined
  rmSync(folder, { recursive: true, force: true })
})

/** Starts the role with this YAML of targets; `printed` and `logged` grow. */
const start = (targets: string | undefined, set: readonly string[] = [], options: Partial<DevOptions> = {}) => {
  const dev = startDevRole({ folder, targets, set, options })
  running = dev.role
  return dev
}

/** The lines of the ConfigInvalid that a start is refused with, without the folder's name. */
const refusal = async (targets: string): Promise<readonly string[]> => {
  const error = await start(targets).role.ready.catch((each) => each)
  expect(hasCode(error, "ConfigInvalid"), String(error)).toBe(true)
  return String(error.message)
    .replaceAll(`${folder}/`, "")
    .split("\n")
    .slice(1)
    .map((line) => line.trim())
}

test("one command serves two users, each with the token that it printed", async () => {
  const { role, out } = start(notes)
  const { url } = await role.ready
  const tokens = ["alice", "bob"].map((who) => bannerToken(out.printed, who))
  const pids = await Promise.all(tokens.map((token) => toolText(`${url}/mcp/notes`, token, "pid")))
  expect(new Set(pids).size).toBe(2)
  const api = await fetch(`${url}/api/instances`, {
    headers: { authorization: `Bearer ${bannerToken(out.printed, "admin")}` },
  })
  expect(await api.json()).toMatchObject({ items: [{ target: "notes" }, { target: "notes" }] })
})

test("a target that chooses what no plugin has says so in its status", async () => {
  const access = { groups: ["eng"] }
  const { role, out } = start(target("odd", ["node", server], { subjectKey: { strategy: "clame" }, access }))
  const { url } = await role.ready
  const headers = { authorization: `Bearer ${bannerToken(out.printed, "admin")}` }
  const conditions = async () => {
    const shown = (await (await fetch(`${url}/api/targets/odd`, { headers })).json()) as { status?: MCPTargetStatus }
    return shown.status?.conditions
  }
  await expect.poll(conditions).toMatchObject([
    {
      type: "Accepted",
      status: "False",
      reason: "StrategyUnknown",
      message: expect.stringContaining("did you mean claim?"),
    },
    { type: "Available", status: "False", reason: "NotAccepted" },
    // role dev has one issuer, its own
    { type: "AccessResolved", status: "True" },
  ])
  const told = out.logged.split("\n").filter((line) => line.includes("a target has a fault"))
  expect(told.map((line) => JSON.parse(line))).toMatchObject([
    { target: "odd", condition: "Accepted", reason: "StrategyUnknown", note: expect.stringContaining("claim?") },
  ])
})

/** Runs the banner's curl commands as they are, one after the other, and resolves with what each printed. */
const runCommands = async (printed: string): Promise<readonly string[]> => {
  const outputs: string[] = []
  for (const line of printed.split("\n").filter((each) => each.startsWith("curl ")))
    outputs.push((await promisify(execFile)("sh", ["-c", line])).stdout)
  return outputs
}

test("the banner's client configuration and command name a target and work as they are", async () => {
  const { role, out } = start(notes)
  const { url } = await role.ready
  const { mcpServers } = JSON.parse(/^\{[\s\S]*?^\}/m.exec(out.printed)?.[0] ?? "{}")
  expect(mcpServers.notes.url).toBe(`${url}/mcp/notes`)
  const { authorization } = Object.fromEntries(new Headers(mcpServers.notes.headers))
  expect(await toolText(mcpServers.notes.url, authorization?.replace("Bearer ", "") ?? "", "pid")).toMatch(/^\d+$/)
  expect(await runCommands(out.printed)).toEqual([expect.stringContaining("serverInfo")])
})

test("the banner offers a target that alice can use as it stands, and its command works", async () => {
  const others = [
    target("a-group", ["node", server], { isolationBoundary: "per_group" }),
    target("b-others", ["node", server], { access: { users: ["bob"] } }),
    target("c-needy", ["node", server], { credentials: [{ name: "API_TOKEN", required: true }] }),
    target("d-paused", ["node", server], { paused: true }),
    target("e-scoped", ["node", server], { requiredScopes: ["tools"] }),
    target("f-image", []),
  ]
  const { role, out } = start([...others, notes].join(""))
  await role.ready
  expect(out.printed).toContain("/mcp/notes ")
  expect(await runCommands(out.printed)).toEqual([expect.stringContaining("serverInfo")])
})

test("where no target is for alice the banner says why, and how she gives what is missing", async () => {
  const needy = target("needy", ["node", server], { credentials: [{ name: "API_TOKEN", required: true }] })
  const { role, out } = start(target("bobs", ["node", server], { access: { users: ["bob"] } }) + needy)
  const { url } = await role.ready
  expect(out.printed).toContain("  bobs: does not name alice in its access\n")
  expect(out.printed).toContain("  needy: needs a value for API_TOKEN\n")
  expect(await runCommands(out.printed)).toEqual([expect.stringContaining('"names":["API_TOKEN"]')])
  expect(await toolText(`${url}/mcp/needy`, bannerToken(out.printed, "alice"), "pid")).toMatch(/^\d+$/)
})

test("the log tells each phase of a start, and holds neither token nor banner", async () => {
  const { role, out } = start(notes)
  const { url } = await role.ready
  const alice = bannerToken(out.printed, "alice")
  await toolText(`${url}/mcp/notes`, alice, "pid")
  const phases = () =>
    out.logged
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line))
      .flatMap((line) => (line.message === "instance" ? [line.phase] : []))
  // a server answers before the operator has seen that it is ready
  await expect.poll(() => phases().at(-1)).toBe("Ready")
  expect(phases().at(0)).toBe("Pending")
  expect(out.logged).not.toContain(alice)
})

test("servers get PATH and HOME, but nothing else of the program's environment", async () => {
  const environment = { ...process.env, HOME: folder, REFLOW_AUTH__TOKENS: "canary", AWS_SECRET_ACCESS_KEY: "canary" }
  const { role, out } = start(notes, [], { environment })
  const { url } = await role.ready
  const names = ["HOME", "PORT", "REFLOW_AUTH__TOKENS", "AWS_SECRET_ACCESS_KEY"]
  const text = await toolText(`${url}/mcp/notes`, bannerToken(out.printed, "alice"), "env", { names })
  expect(text).toContain(folder)
  expect(text).not.toContain("canary")
})

test("closing ends the servers, frees the port, and may be repeated", async () => {
  const { role, out } = start(notes)
  const { url } = await role.ready
  const pid = Number(await toolText(`${url}/mcp/notes`, bannerToken(out.printed, "alice"), "pid"))
  await Promise.all([role.close(), role.close()])
  await role.close()
  expect(() => process.kill(pid, 0)).toThrow("ESRCH")
  await expect(fetch(url)).rejects.toThrow()
})

test("closing while it starts ends the start", async () => {
  const { role } = start(notes)
  await role.close()
  const outcome = await role.ready.then(
    ({ url }) => fetch(url),
    (error) => error,
  )
  expect(outcome).toBeInstanceOf(Error)
})

test("tokens outlive a restart: the key stays in the state folder", async () => {
  const first = start(notes)
  await first.role.ready
  const alice = bannerToken(first.out.printed, "alice")
  await first.role.close()
  const second = start(notes)
  const { url } = await second.role.ready
  expect(await toolText(`${url}/mcp/notes`, alice, "pid")).toMatch(/^\d+$/)
})

test("without targets it starts, and the banner's commands register one and call it", { timeout: 60_000 }, async () => {
  const { role, out } = start("")
  await role.ready
  expect(out.printed).toContain("Targets  none")
  expect(await runCommands(out.printed)).toEqual([
    expect.stringContaining('"name":"everything"'),
    expect.stringContaining("serverInfo"),
  ])
})

test("the banner says where it is kept what users make, and how much came back", async () => {
  const first = start("")
  await first.role.ready
  expect(first.out.printed).toContain(`  State    ${join(folder, "state")}\n`)
  await promisify(execFile)("sh", ["-c", /^curl .*\/api\/targets .*$/m.exec(first.out.printed)?.[0] ?? "false"])
  await first.role.close()
  const second = start("")
  await second.role.ready
  expect(second.out.printed).toContain("1 target and 0 sets of values restored from it; --fresh starts without them")
})

test("metrics and health are served only where metrics.listen says", async () => {
  const other = createServer()
  await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve))
  const { port } = other.address() as { port: number }
  await new Promise((resolve) => other.close(resolve))
  const { role } = start(notes, [`metrics.listen=127.0.0.1:${port}`])
  const { url } = await role.ready
  const [metrics, health, ready, absent] = await Promise.all(
    ["/metrics", "/healthz", "/readyz", "/other"].map((path) => fetch(`http://127.0.0.1:${port}${path}`)),
  )
  expect([metrics?.status, health?.status, ready?.status, absent?.status]).toEqual([200, 200, 200, 404])
  expect(await metrics?.text()).toContain("process_resident_memory_bytes")
  expect((await fetch(`${url}/metrics`)).status).toBe(404)
})

describe("a start that cannot be is refused", () => {
  test("where another program listens", async () => {
    const other = createServer()
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve))
    const { port } = other.address() as { port: number }
    const error = await start(notes, [`gateway.listen=127.0.0.1:${port}`]).role.ready.catch((each) => each)
    other.close()
    expect(isAppError(error) && error.code).toBe("PortInUse")
    expect(error.message).toContain(`127.0.0.1:${port}`)
  })

  test("on Windows", async () => {
    const error = await start(notes, [], { platform: "win32" }).role.ready.catch((each) => each)
    expect(isAppError(error) && error.code).toBe("PlatformUnsupported")
  })

  test("for targets that are wrong, all of them told with file, line, document and field", async () => {
    const lines = await refusal(`apiVersion: mcp.reflow.io/v1alpha1
kind: MCPTarget
metadata: {name: one}
spec:
  image: a
  port: 8080
  isolatonBoundary: shared
---
apiVersion: mcp.reflow.io/v1alpha1
kind: MCPTarget
metadata: {name: two}
spec:
  image: a
  port: 99999
  idleTTL: 1s
---
apiVersion: v1
kind: Pod
metadata: {name: three}
---
apiVersion: mcp.reflow.io/v1alpha1
kind: MCPTarget
metadata: {name: Four, namespace: elsewhere}
spec: {image: a, port: 1}
`)
    expect(lines).toEqual([
      "targets.yaml:7: document 1 (MCPTarget one): spec.isolatonBoundary: unknown field; did you mean isolationBoundary?",
      expect.stringMatching(/^targets\.yaml:14: document 2 \(MCPTarget two\): spec\.port: /),
      "targets.yaml:18: document 3 (Pod three): kind: must be MCPTarget of mcp.reflow.io/v1alpha1 or Secret of v1",
      "targets.yaml:23: document 4 (MCPTarget Four): metadata.namespace: must be reflow (kubernetes.namespace), or absent",
    ])
  })

  test.each([
    ["a rule of the kind", target("short", ["a"], { idleTTL: "1s" }), /document 1 \(MCPTarget short\): .*at least 10s/],
    ["a name that is given twice", notes + notes, /document 2 \(MCPTarget notes\): .*exists/],
    ["broken YAML", "a: [", /^targets\.yaml:1: document 1: is not valid YAML/],
    ["something that is no object", "- a\n", /^targets\.yaml:1: document 1: is not an object/],
  ])("for %s", async (_name, text, message) => {
    expect((await refusal(text)).join("\n")).toMatch(message)
  })

  test("for a file that is not there", async () => {
    const error = await start(undefined).role.ready.catch((each) => each)
    expect(isAppError(error) ? error.message : error).toContain("targets.yaml: does not exist")
  })
})

test("a Secret in the file is a credential of its target", async () => {
  const secret = JSON.stringify({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "with-env-default" },
    stringData: { API_TOKEN: "from-the-file" },
  })
  const { role, out } = start(
    `${target("with", ["node", server], { credentials: [{ name: "API_TOKEN" }] })}---\n${secret}\n`,
  )
  const { url } = await role.ready
  const text = await toolText(`${url}/mcp/with`, bannerToken(out.printed, "alice"), "env", { names: ["API_TOKEN"] })
  expect(text).toContain("from-the-file")
})
