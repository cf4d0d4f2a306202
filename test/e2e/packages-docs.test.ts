/** The examples of docs/targets.md, «A published package», and of examples/, with the real servers of the public registries. */
import { execFile } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { homedir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest"
import { parse, parseAllDocuments } from "yaml"
import { brokenRules } from "../../src/admin/validation.ts"
import { mcpTargetKind, targetRules } from "../../src/api/kinds/mcp-target.ts"
import { checkLayer } from "../../src/config/check.ts"
import { connectV1, type Peer } from "../support/mcp-peers.ts"
import { type Laptop, makeLaptop } from "../support/packages-laptop.ts"
import { pythonTools } from "../support/python-tools.ts"
import { type Reflow, repositoryFile, runReflow } from "../support/reflow.ts"

// the first run makes the tools
vi.setConfig({ testTimeout: 180_000, hookTimeout: 600_000 })

const read = (path: string): string => readFileSync(repositoryFile(path), "utf8")
const [, section = ""] = read("docs/targets.md").split("## A published package\n")
const blocks = [...(section.split(/^## /m)[0] ?? "").matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map(
  ([, text = ""]) => text,
)
const targets = blocks.filter((text) => text.includes("kind: MCPTarget"))
const files = ["everything", "time"].map((name) => read(`examples/packages/${name}.yaml`))

/** How npm and uv find the public registries on this machine, which may have proxies, mirrors and authorities of its own. */
const surroundings = (): Record<string, string> => {
  const { env } = process
  const userconfig = env.npm_config_userconfig ?? join(homedir(), ".npmrc")
  const own = {
    NODE_EXTRA_CA_CERTS: env.NODE_EXTRA_CA_CERTS,
    SSL_CERT_FILE: env.SSL_CERT_FILE ?? env.PIP_CERT,
    SSL_CERT_DIR: env.SSL_CERT_DIR,
    HTTPS_PROXY: env.HTTPS_PROXY ?? env.https_proxy,
    NO_PROXY: env.NO_PROXY ?? env.no_proxy,
    UV_DEFAULT_INDEX: env.UV_DEFAULT_INDEX ?? env.PIP_INDEX_URL,
    npm_config_registry: env.npm_config_registry,
    npm_config_userconfig: existsSync(userconfig) ? userconfig : undefined,
  }
  return Object.fromEntries(Object.entries(own).filter((each): each is [string, string] => each[1] !== undefined))
}

/** False if the public registries are not to be had here, which is said loudly; where everything must hold, it rejects. */
const hasRegistries = async (): Promise<boolean> => {
  try {
    const about = ["view", "@modelcontextprotocol/server-everything", "version", "--fetch-retries=1"]
    await promisify(execFile)("npm", about, { timeout: 60_000 })
    return true
  } catch (cause) {
    if ((process.env.CI ?? "") !== "") throw new Error("the npm registry cannot be reached", { cause })
    console.warn(`!!! TESTS WITH REAL SERVERS SKIPPED: ${cause instanceof Error ? cause.message : cause} !!!`)
    return false
  }
}

const tools = await pythonTools()
const isRunnable = tools !== undefined && (await hasRegistries())

test("the page has an example of each kind, and each one is a target as kubectl would apply it", () => {
  expect(blocks.length - targets.length).toBe(1)
  const all = [...targets, ...files].flatMap((text) => parseAllDocuments(text).map((each) => each.toJS()))
  expect(all.map(({ metadata }) => metadata.name)).toEqual([
    ...["everything", "everything-by-http", "filesystem", "time"],
    ...["everything", "time"],
  ])
  for (const target of all) {
    const asApplied = { ...target, spec: { isolationBoundary: "per_user", ...target.spec } }
    expect(mcpTargetKind.schema?.safeParse(target).error).toBeUndefined()
    expect(brokenRules(targetRules, asApplied)).toEqual([])
  }
})

test("the page's configuration is one", () => {
  const [text = ""] = blocks.filter((each) => !targets.includes(each))
  expect(checkLayer({ values: parse(text), problems: [], sourceOf: () => "" })).toEqual([])
})

describe.skipIf(!isRunnable)("the page's targets, with the real servers", () => {
  let laptop: Laptop
  let reflow: Reflow
  const peers: Peer[] = []
  beforeAll(async () => {
    laptop = makeLaptop(tools ?? "")
    reflow = await laptop.start({ targets: targets.join("---\n"), env: surroundings() })
  })
  afterAll(async () => {
    // the sessions of a server that got a new credential are over
    for (const peer of peers) await peer.close().catch(() => undefined)
    await reflow?.stop()
    laptop?.close()
  })

  const connect = async (target: string, user: string): Promise<Peer> => {
    const peer = await connectV1(`${reflow.url}/mcp/${target}`, await reflow.token(user))
    peers.push(peer)
    return peer
  }

  test.for([
    ["everything", "echo", { message: "hi" }, /^Echo: hi$/],
    ["everything-by-http", "echo", { message: "hi" }, /^Echo: hi$/],
    ["filesystem", "list_allowed_directories", {}, /\/tmp/],
    ["time", "get_current_time", { timezone: "Asia/Tokyo" }, /\+09:00/],
  ] as const)("%s lists its tools for two users, and %s answers", async ([target, tool, args, answer]) => {
    for (const user of ["alice", "bob"]) {
      const peer = await connect(target, user)
      expect(await peer.tools()).toContain(tool)
      const { text, error } = await peer.call(tool, args)
      expect(error, text).toBe(false)
      expect(text).toMatch(answer)
    }
  })

  test("each user of everything has a credential of their own", async () => {
    for (const user of ["alice", "bob"]) {
      const set = { API_KEY: `canary-of-${user}` }
      await reflow.api("PUT", "/api/targets/everything/env/me", set, await reflow.token(user))
    }
    for (const [user, other] of [
      ["alice", "bob"],
      ["bob", "alice"],
    ] as const) {
      const { text } = await (await connect("everything", user)).call("get-env")
      expect(text).toContain(`canary-of-${user}`)
      expect(text).not.toContain(`canary-of-${other}`)
    }
  })

  test("the examples of server.json make targets of the same servers, by both ways, and they serve", async () => {
    const zone = { "--local-timezone": "Europe/Berlin" }
    for (const [name, given, tool] of [
      ["everything", {}, "echo"],
      ["time", zone, "get_current_time"],
    ] as const) {
      const path = `examples/server-json/${name}.json`
      const body = { name: `${name}-posted`, server_json: JSON.parse(read(path)), arguments: given }
      const { status, body: made } = await reflow.api("POST", "/api/targets", body)
      expect(status, JSON.stringify(made)).toBe(201)
      const flags = Object.entries(given).map(([key, value]) => `--argument=${key}=${value}`)
      const { stdout, stderr } = await runReflow(["target", "from", path, ...flags], { cwd: repositoryFile(".") })
      expect(parse(stdout || stderr).spec.package).toEqual({
        registryType: made.package.registry_type,
        identifier: made.package.identifier,
        version: made.package.version,
        before: made.package.before,
      })
      expect(await (await connect(`${name}-posted`, "alice")).tools()).toContain(tool)
    }
  })
})
