import { execFile, execFileSync } from "node:child_process"
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { parse } from "yaml"
import { checkLayer } from "../../src/config/check.ts"
import {
  type Connection,
  clientBlock,
  clientBlocks,
  clientFences,
  connectionOf,
  documentedConnections,
  parseToml,
} from "../support/documented-clients.ts"
import { initialize, post, type Reflow, repositoryFile, startReflow } from "../support/reflow.ts"

const documentedUrl = "http://127.0.0.1:8080"
const tools = ["add_note", "list_notes", "whoami"]

let reflow: Reflow
let token: string
beforeAll(async () => {
  reflow = await startReflow({ targets: readFileSync(repositoryFile("examples/targets/notes.yaml"), "utf8") })
  token = await reflow.token("alice")
})
afterAll(async () => {
  await reflow?.stop()
})

/** A block as it stands, but for the port of the gateway. */
const blockFor = (name: string): string => clientBlock(name).replaceAll(documentedUrl, reflow.url)

type Ran = { readonly code: number; readonly stdout: string; readonly stderr: string }
const run = (command: string, args: readonly string[], path = ""): Promise<Ran> =>
  new Promise((done) => {
    const state = { REFLOW_DEV__STATE_DIR: join(reflow.folder, "state") }
    const env = { ...process.env, ...state, HOME: reflow.folder, ALICE: token, PATH: `${path}${process.env.PATH}` }
    execFile(command, [...args], { cwd: repositoryFile("."), env }, (error, stdout, stderr) =>
      done({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    )
  })

/** Runs a program of the page from a file, beside the libraries of this repository. */
const runFile = (command: string, name: string, text: string): Promise<Ran> => {
  const folder = join(reflow.folder, "programs")
  mkdirSync(folder, { recursive: true })
  try {
    symlinkSync(repositoryFile("node_modules"), join(folder, "node_modules"))
  } catch {
    // it is there from the program before
  }
  const file = join(folder, name)
  writeFileSync(file, text)
  return run(command, [file])
}

const expectTools = ({ code, stdout, stderr }: Ran, others: readonly string[] = [/process \d+/.source]): void => {
  expect(code, `${stdout}\n${stderr}`).toBe(0)
  for (const name of tools) expect(stdout).toContain(name)
  for (const pattern of others) expect(stdout).toMatch(new RegExp(pattern))
}

/** The name by which the server behind a connection introduces itself, and the status. */
const serverBehind = async ({ url, headers }: Connection): Promise<unknown> => {
  const response = await post(url, undefined, initialize(), headers)
  const text = await response.text()
  return { status: response.status, name: /"serverInfo":\{"name":"(\w+)"/.exec(text)?.[1] }
}

test("every code block of docs/clients.md has a name, and a test of this file", () => {
  expect(clientBlocks.size).toBe(clientFences)
  const tried = ["prepare", "claude-code", "codex-oauth", "inspector", "issuer"]
  const programs = ["typescript", "typescript-1", "python", "python-1", "langchain"]
  expect([...clientBlocks.keys()].sort()).toEqual([...tried, ...programs, ...Object.keys(documentedConnections)].sort())
})

test("the page's first line makes a token that the gateway takes", async () => {
  // the variable of this test would hide a line that sets none
  const { stdout } = await run("sh", ["-c", `unset ALICE\n${clientBlock("prepare")}\necho "$ALICE"`])
  const headers = { Authorization: `Bearer ${stdout.trim()}` }
  expect(await serverBehind({ url: `${reflow.url}/mcp/notes`, headers })).toEqual({ status: 200, name: "notes" })
})

describe("the configuration of", () => {
  test.each(Object.entries(documentedConnections))("%s leads to the server, as alice", async (name, read) => {
    expect(await serverBehind(read(blockFor(name), token))).toEqual({ status: 200, name: "notes" })
    expect(await serverBehind(read(blockFor(name), "wrong"))).toEqual({ status: 401, name: undefined })
  })

  test("Claude Code's command line does so too", async () => {
    // in the place of the program, which is no part of this repository: says what it got
    const folder = join(reflow.folder, "stand-in")
    mkdirSync(folder)
    writeFileSync(join(folder, "claude"), '#!/bin/sh\nfor each; do printf "%s\\n" "$each"; done\n')
    chmodSync(join(folder, "claude"), 0o755)
    const { stdout } = await run("sh", ["-c", blockFor("claude-code")], `${folder}:`)
    const args = stdout.trimEnd().split("\n")
    expect(args.slice(0, 5)).toEqual(["mcp", "add", "--transport", "http", "notes"])
    expect(await serverBehind(connectionOf(args))).toEqual({ status: 200, name: "notes" })
  })

  test("Codex with a client id names the server and a loopback address", () => {
    const { mcp_oauth_callback_port: port, mcp_servers: servers } = parseToml(blockFor("codex-oauth"))
    expect(port).toEqual(expect.any(Number))
    expect(servers).toMatchObject({
      notes: { url: `${reflow.url}/mcp/notes`, oauth: { callback_url: "http://127.0.0.1/callback" } },
    })
  })

  test("the gateway is valid, and its keys are those that the page explains", () => {
    const values = parse(clientBlock("issuer"))
    expect(Object.keys(values)).toEqual(["gateway", "auth"])
    expect(checkLayer({ values, problems: [], sourceOf: () => "" })).toEqual([])
  })
})

describe("the program for", () => {
  test("the inspector lists the tools", { timeout: 30_000 }, async () => {
    expectTools(await run("sh", ["-c", blockFor("inspector")]), [])
  })
  test("the TypeScript SDK 2.x lists and calls tools", async () => {
    expectTools(await runFile(process.execPath, "two.mjs", blockFor("typescript")))
  })
  test("the TypeScript SDK 1.x does so with the other imports", async () => {
    const [, rest = ""] = blockFor("typescript").split('"@modelcontextprotocol/client"\n')
    expectTools(await runFile(process.execPath, "one.mjs", `${blockFor("typescript-1")}${rest}`))
  })
})

/** A Python that has the packages, if the machine of the test has one. */
const python = process.env.REFLOW_PYTHON ?? "python3"

/** Major version of a Python package; undefined if it is not there, or Python is not. */
const majorOf = (distribution: string): string | undefined => {
  const program = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"
  try {
    return execFileSync(python, ["-c", program, distribution], { stdio: ["ignore", "pipe", "ignore"] })
      .toString()
      .split(".")[0]
  } catch {
    return undefined
  }
}

const pythonSdk = majorOf("mcp")

describe("where Python has the packages, the program for", () => {
  test.runIf(pythonSdk === "2")("the Python SDK 2.x lists and calls tools", { timeout: 30_000 }, async () => {
    expectTools(await runFile(python, "two.py", blockFor("python")))
  })
  test.runIf(pythonSdk === "1")("the Python SDK 1.x lists and calls tools", { timeout: 30_000 }, async () => {
    expectTools(await runFile(python, "one.py", blockFor("python-1")))
  })
  test.runIf(majorOf("langchain-mcp-adapters"))("LangChain lists and calls tools", { timeout: 60_000 }, async () => {
    expectTools(await runFile(python, "chain.py", blockFor("langchain")))
  })
})
